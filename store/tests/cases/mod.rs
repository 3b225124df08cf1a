//! The cases and what they share.

mod access;
mod alerts;
mod claims;
mod cluster;
mod documentation;
mod edges;
mod engine;
mod health;
mod insert;
mod ledger;
mod open_waits;
mod pairs;
mod realign;
mod rollups;
mod rounds;
mod schema;
mod sends;
mod skew;
mod states;
mod symbols;
mod timeline;
mod upgrade;
mod windows;

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use syncline_store::{EmbeddedConfig, EmbeddedEngine, Store};
use tempfile::TempDir;

type Run = fn() -> Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: Run,
}

macro_rules! cases {
    ($($module:ident :: $case:ident),+ $(,)?) => {
        &[$(Case { name: concat!(stringify!($module), "::", stringify!($case)), run: || Box::pin($module::$case()) }),+]
    };
}

pub(crate) const ALL: &[Case] = cases![
    engine::a_reopened_directory_has_its_data,
    engine::a_second_opener_is_told_the_holders_pid,
    engine::open_uses_the_engine_of_a_live_holder,
    engine::a_killed_holder_leaves_no_engine_and_its_data,
    engine::a_killed_engine_makes_inserts_fail_retryably,
    engine::memory_is_capped_and_strangers_may_nothing,
    engine::who_has_no_password_is_not_answered_however_he_asks,
    engine::a_missing_or_broken_library_is_named,
    engine::a_port_in_use_is_an_error,
    access::the_reader_reads_and_nothing_else,
    access::the_readers_limits_hold_whatever_it_asks_for,
    access::who_opens_to_read_is_the_reader,
    access::the_users_of_a_server_are_sql_that_clickhouse_parses,
    cluster::every_statement_for_a_cluster_is_one_that_clickhouse_parses,
    cluster::two_shards_answer_as_one_server_does,
    documentation::each_table_and_its_columns_are_told_as_clickhouse_describes_them,
    documentation::each_view_and_its_columns_are_told,
    documentation::views_are_told_as_clickhouse_describes_them,
    health::parts_and_space_are_told,
    rollups::hours_count_each_wait_once_and_outlive_it,
    rollups::hours_and_places_count_by_weight,
    rollups::blockers_are_ranked_by_place,
    schema::migrating_again_changes_nothing,
    upgrade::each_earlier_version_is_brought_up_to_date_with_its_rows,
    upgrade::rows_of_each_table_of_each_earlier_version_stay_as_they_are,
    schema::what_is_missing_in_between_is_run_again,
    schema::each_table_view_and_column_is_told_of,
    schema::columns_that_opentelemetry_names_have_that_name,
    schema::whoever_asks_is_told_what_the_schema_is,
    schema::a_plan_is_what_migrating_does_and_changes_nothing,
    schema::the_live_view_has_all_columns_of_events,
    schema::a_newer_schema_is_refused,
    schema::a_changed_migration_is_refused,
    schema::a_foreign_database_is_refused,
    schema::versions_of_another_program_are_refused,
    schema::wrong_urls_and_names_are_one_line,
    insert::every_column_type_survives_with_its_extremes,
    insert::many_distinct_strings_survive,
    insert::the_same_token_stores_once,
    insert::every_table_takes_its_rows,
    insert::sql_errors_are_clickhouses_own,
    insert::large_answers_stream,
    insert::a_question_mark_of_a_query_stays_one,
    timeline::regions_are_mapped_and_bounds_add,
    timeline::the_window_is_on_the_fleets_clock,
    timeline::without_a_map_nothing_is_claimed,
    timeline::order_is_proved_only_by_disjoint_intervals,
    timeline::another_run_or_another_root_is_not_compared,
    timeline::stacks_are_named,
    edges::a_goroutine_that_wakes_another_is_an_edge_within_its_process,
    edges::the_other_end_of_a_connection_is_an_edge_across_nodes,
    edges::an_edge_leads_into_a_region_whose_clock_is_another,
    edges::what_is_no_edge_across_nodes_is_none,
    edges::lock_sites_name_who_held_the_locks,
    edges::the_site_stays_the_go_function_where_other_code_waits,
    ledger::a_run_adds_up_from_its_start_and_from_any_minute_on,
    ledger::a_batch_that_is_missing_is_known_and_so_are_those_that_were_given_up,
    ledger::rows_that_are_missing_or_there_twice_are_found,
    ledger::rows_of_other_tables_that_are_there_twice_are_found,
    claims::of_what_a_writer_says_the_highest_version_counts,
    claims::a_table_tells_of_which_batches_it_has_rows,
    claims::the_columns_by_which_rows_are_found_are_there,
    open_waits::those_that_go_on_are_shown_as_they_were_seen_last,
    open_waits::those_that_ended_are_left_out_also_of_the_minutes_around,
    open_waits::one_that_is_overdue_is_marked,
    realign::rows_are_live_at_once_and_settled_by_an_update,
    realign::where_an_update_does_not_work_the_parts_are_rewritten,
    realign::nodes_are_settled_together,
    realign::pieces_whose_rows_are_not_settled_are_found,
    realign::the_order_of_two_moments_is_told_only_where_it_can_be,
    pairs::sends_meet_their_receipts_and_are_judged,
    pairs::each_send_is_of_one_minute_and_its_receipt_of_any,
    pairs::what_has_no_bound_is_no_violation_and_has_no_slack,
    pairs::a_mark_seen_twice_and_a_loopback_elsewhere_are_no_pair,
    pairs::regions_are_compared_on_the_fleets_clock,
    pairs::a_broken_alignment_is_found_and_checked_once,
    pairs::what_is_told_of_a_session_later_replaces_the_earlier,
    sends::latency_is_summed_by_service_and_who_it_was_sent_to,
    sends::waits_find_the_connection_that_they_were_for,
    states::the_states_of_a_process_add_up_over_the_intervals_of_the_window,
    states::the_same_batch_counts_once,
    states::a_window_is_on_the_fleets_clock,
    states::what_is_told_of_a_goroutine_later_replaces_the_earlier_of_any_day,
    states::goroutines_are_those_that_lived_in_the_window,
    states::a_goroutine_that_does_nothing_is_shown_while_its_process_is_observed,
    states::the_questions_of_the_documentation_are_answered,
    symbols::a_stack_that_many_agents_tell_counts_once,
    symbols::a_stack_is_whole_when_each_of_its_addresses_has_a_name,
    symbols::addresses_without_a_name_come_in_order_and_those_of_one_build_keep_no_other_from_coming,
    symbols::a_binary_is_kept_once_and_whole_or_not_at_all,
    symbols::builds_tell_who_runs_them_and_what_has_no_name,
    alerts::rounds_are_what_was_known_in_them_however_they_are_read,
    alerts::a_node_that_says_no_more_is_silent_and_a_false_claim_of_a_region_is_told,
    alerts::stored_history_leads_to_the_alert_and_its_state_is_left,
    alerts::a_lease_has_one_holder_however_many_take_it_at_once,
    alerts::what_nobody_remembers_is_closed_and_nothing_else,
    alerts::what_lasts_is_kept_for_longer_than_what_is_over,
    rounds::what_waited_to_be_stored_is_not_of_the_present,
    rounds::a_step_is_told_once_also_if_it_is_stored_late_or_placed_anew,
    rounds::what_a_run_says_of_another_region_ends_with_it,
    rounds::rounds_go_on_from_where_the_databases_clock_was_set_back_to,
    rounds::a_node_whose_clock_never_became_known_is_heard_by_its_batches,
    skew::the_newest_of_each_node_on_the_fleets_clock,
    skew::one_region_needs_no_map,
    windows::a_window_may_be_of_any_time,
];

/// A store in a new database of a new engine.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) engine: EmbeddedEngine,
    _dir: TempDir,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = EmbeddedEngine::start(EmbeddedConfig::new(dir.path())).await.unwrap();
        let store = Store::connect(engine.url(), "syncline").await.unwrap();
        Self { store, engine, _dir: dir }
    }

    pub(crate) async fn migrated() -> Self {
        let fixture = Self::start().await;
        fixture.store.migrate().await.unwrap();
        fixture
    }

    pub(crate) async fn ask(&self, sql: &str) -> String {
        ask(&self.store, sql).await
    }
}

/// The answer as tab separated lines.
pub(crate) async fn ask(store: &Store, sql: &str) -> String {
    match store.query_text(sql, "TSV").await {
        Ok(answer) => String::from_utf8(answer).unwrap().trim_end().to_owned(),
        Err(error) => panic!("{sql}: {error}"),
    }
}

pub(crate) async fn run(store: &Store, sql: &str) {
    ask(store, sql).await;
}

/// A full minute about an hour ago, in ns since 1970: what is older than two weeks would be deleted. The same one however often
/// a case asks, as a minute may pass while it runs.
pub(crate) fn base_ns() -> i64 {
    static BASE_NS: LazyLock<i64> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        i64::try_from(now / 60 * 60 - 3600).unwrap() * 1_000_000_000
    });
    *BASE_NS
}

pub(crate) const HOLD_ARGUMENT: &str = "--hold";

/// What a process does that a test kills: holds an engine with one row and says its pid.
pub(crate) async fn hold(dir: &str) {
    let engine = EmbeddedEngine::start(EmbeddedConfig::new(dir)).await.unwrap();
    let store = Store::connect(engine.url(), "syncline").await.unwrap();
    store.migrate().await.unwrap();
    run(&store, "INSERT INTO symbols (build_id, pc, depth, func) VALUES (1, 2, 0, 'kept')").await;
    println!("{}", engine.pid().unwrap());
    std::future::pending::<()>().await;
}
