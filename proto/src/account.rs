//! Accounts and dropped batches, both ways.

use syncline_event::{Account, DroppedBatch, Loss, LossCause};
use syncline_timebase::BootId;

use crate::decode::same_length;
use crate::error::WireError;
use crate::v1;

impl From<&Account> for v1::Account {
    fn from(account: &Account) -> Self {
        let Account { captured, left_out, waiting, open } = *account;
        Self { captured, left_out, waiting, open }
    }
}

impl From<v1::Account> for Account {
    fn from(message: v1::Account) -> Self {
        let v1::Account { captured, left_out, waiting, open } = message;
        Self { captured, left_out, waiting, open }
    }
}

/// A dropped batch, told by one of boot `teller`.
pub(crate) fn to_message(dropped: &DroppedBatch, teller: BootId) -> v1::DroppedBatch {
    v1::DroppedBatch {
        number: dropped.number,
        run_first_seq: dropped.run_first_seq,
        cause: number_of(dropped.cause),
        events: dropped.events,
        summed: dropped.summed,
        loss_cause: dropped.losses.iter().map(|loss| number_of(loss.cause)).collect(),
        loss_count: dropped.losses.iter().map(|loss| loss.count).collect(),
        boot: (dropped.boot != teller).then_some(dropped.boot.0),
    }
}

/// A dropped batch, told by one of boot `teller`.
pub(crate) fn from_message(message: &v1::DroppedBatch, teller: BootId) -> Result<DroppedBatch, WireError> {
    same_length("dropped.loss_count", message.loss_count.len(), message.loss_cause.len())?;
    let losses = message.loss_cause.iter().zip(&message.loss_count);
    let loss = |(number, count): (&i32, &u64)| Loss { cause: cause(*number), count: *count };
    Ok(DroppedBatch {
        boot: message.boot.map_or(teller, BootId),
        number: message.number,
        run_first_seq: message.run_first_seq,
        cause: cause(message.cause),
        events: message.events,
        summed: message.summed,
        losses: losses.map(loss).collect(),
    })
}

/// The wire's number of a cause.
pub(crate) fn number_of(cause: LossCause) -> i32 {
    let place = LossCause::ALL.iter().position(|known| *known == cause);
    place.and_then(|place| i32::try_from(place + 1).ok()).unwrap_or_default()
}

/// The cause of a number; a newer agent may know others than we do, which are counted all the same.
pub(crate) fn cause(number: i32) -> LossCause {
    let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    place.and_then(|place| LossCause::ALL.get(place)).copied().unwrap_or(LossCause::Unknown)
}
