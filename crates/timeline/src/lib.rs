//! Pure alignment: event columns and a clock in, aligned rows and verdicts on order out.
