"""
What a session library is attacked with, end to end, over ASGI and WSGI.

`LINES` maps each known weakness to the tests that would have caught it, here and elsewhere. A name
is that of a test in this folder, or "file::test" with as much of the file's path as tells it from
others.
"""

from pathlib import Path

import pytest

from tests.threats.attacks import SOURCE

TESTS = Path(__file__).parent.parent
MODULES = [*TESTS.rglob("test_*.py"), *SOURCE.rglob("testing/*_contract.py")]

LINES = {
    # Ids and fixation
    "a well-formed id that was never issued is not adopted, not written, not echoed": [
        "test_an_id_that_was_never_issued_is_not_adopted",
    ],
    "strange ids reach no file and no backend": [
        "test_a_strange_id_reaches_no_backend",
        "backends/test_files.py::test_a_key_that_could_leave_the_folder_reaches_no_file",
    ],
    "a new id is claimed, also during regeneration": [
        "test_a_new_id_is_claimed_and_never_overwrites",
        "testing/backend_contract.py::test_a_taken_key_cannot_be_claimed",
    ],
    "every way to sign in gives a new id, and the old one is dead": [
        "test_the_id_from_before_a_sign_in_is_dead",
        "test_examples.py::test_signing_in_changes_the_id",
        "auth/test_schemes.py::test_who_signed_in_is_recognised_by_the_session",
        "demo/test_browser.py::test_signing_in_gives_a_new_cookie_that_no_script_sees",
    ],
    "regenerate, then destroy, in one request: both records are gone": [
        "test_a_new_id_and_the_end_in_one_request_leave_nothing",
        "test_nothing_at_all_is_left_in_the_backend",
    ],
    "ids carry at least 128 random bits": ["test_ids.py::test_an_id_has_240_random_bits"],
    # Races
    "a session that was destroyed meanwhile stays gone": [
        "test_races.py::test_what_is_destroyed_meanwhile_stays_gone",
        "test_races.py::test_what_is_cleared_meanwhile_stays_gone",
        "test_races.py::test_logout_holds_against_writers",
    ],
    "fifty writers lose nothing, fifty steps count fifty": [
        "test_races.py::test_fifty_writers_of_fifty_keys_lose_none",
        "test_races.py::test_fifty_steps_of_one_count_fifty",
        "test_races_processes.py::test_processes_lose_no_update",
        "test_servers_http.py::test_parallel_requests_lose_nothing",
        "test_servers_http.py::test_parallel_requests_to_several_processes_lose_nothing",
    ],
    "a refresh never rolls another request's data back": [
        "test_races.py::test_a_refresh_never_rolls_back_what_others_wrote",
        "test_races.py::test_a_new_deadline_is_put_on_what_was_written_meanwhile",
    ],
    "a request with the old id does not sign the visitor out": [
        "test_races.py::test_a_new_id_signs_nobody_out",
        "test_races.py::test_a_request_that_is_overtaken_by_a_move_changes_nothing",
    ],
    "two flashes at once are both shown, and none twice": [
        "test_races.py::test_two_flashes_at_once_are_both_shown",
        "test_races.py::test_a_flash_that_is_left_meanwhile_is_shown",
    ],
    # Seals
    "a value of one cookie is refused in another": [
        "test_a_value_of_one_cookie_is_refused_in_another",
        "test_cookie.py::test_a_value_of_one_cookie_is_refused_in_another",
        "test_middleware.py::test_a_session_of_another_cookie_is_no_session",
        "test_sealing.py::test_a_seal_for_one_purpose_opens_for_no_other",
    ],
    "the newest secret seals, and nothing unsealed is accepted": [
        "test_nothing_unsealed_is_accepted",
        "test_middleware.py::test_what_an_older_secret_sealed_is_sealed_anew",
        "test_cookie.py::test_with_secrets_nothing_unsealed_is_accepted",
    ],
    "truncated, extended, re-encoded and bit-flipped values are refused without an exception": [
        "test_a_damaged_cookie_is_no_session",
        "test_sealing.py::test_every_changed_character_is_noticed",
        "test_sealing.py::test_every_other_length_is_noticed",
        "test_sealing.py::test_only_one_spelling_of_base64url_counts",
        "test_sealing.py::test_no_text_raises_and_none_opens",
    ],
    "comparison is in constant time, and no input reaches pickle or eval": [
        "test_sealing.py::test_comparison_is_in_constant_time",
        "test_no_input_reaches_pickle_or_eval",
    ],
    # Expiry
    "a copied cookie is refused after the idle and the absolute deadline": [
        "test_a_copied_cookie_dies_when_it_is_not_used",
        "test_a_copied_cookie_dies_at_the_end_of_its_lifetime",
    ],
    "an expired record counts as absent, and nothing moves the absolute deadline": [
        "test_an_expired_record_that_is_still_there_counts_as_absent",
        "test_a_copied_cookie_dies_at_the_end_of_its_lifetime",
    ],
    # At rest and in logs
    "no backend sees an id, files are private and whole": [
        "test_no_backend_sees_an_id",
        "test_no_file_holds_an_id",
        "backends/test_files.py::test_only_the_owner_can_read",
        "backends/test_files.py::test_a_killed_writer_leaves_no_torn_record",
    ],
    "two applications, or two cookies, on one server do not collide": [
        "test_two_applications_on_one_server_do_not_collide",
        "test_middleware.py::test_a_session_of_another_cookie_is_no_session",
        "backends/test_redis.py::test_a_prefix_keeps_applications_apart",
    ],
    "no id, secret or value in logs, reprs, tracebacks, messages": [
        "test_no_repr_reveals_anything",
        "test_no_log_reveals_anything",
        "test_no_traceback_reveals_anything",
    ],
    # Caches
    "Vary: Cookie after every kind of access": [
        "test_every_kind_of_access_makes_the_response_vary",
        "test_who_does_not_touch_the_session_leaves_the_response_alone",
    ],
    "a response with the cookie is never publicly cacheable, other cookies are unchanged": [
        "test_a_response_with_the_cookie_is_kept_by_no_shared_cache",
        "test_headers.py::test_no_shared_cache_keeps_the_response",
        "test_headers.py::test_a_response_that_sets_the_cookie_is_private",
        "test_headers.py::test_headers_that_do_not_concern_us_stay",
    ],
    # The cookie parser
    "no attribute can break out of the cookie": [
        "test_cookie.py::test_no_attribute_can_break_out",
    ],
    "a nameless pair never becomes a named one; of several the valid one wins": [
        "test_a_nameless_pair_is_no_session",
        "test_of_several_cookies_the_valid_one_wins",
        "test_headers.py::test_a_nameless_pair_never_becomes_a_named_one",
    ],
    "a header of 1 MB is parsed in linear time, and as RFC 6265 says": [
        "test_a_huge_header_is_no_session",
        "test_headers.py::test_a_long_header_is_read_once",
        "test_headers.py::test_a_cookie_is_found_as_rfc_6265_says",
    ],
    "the removal cookie carries the attributes of the one it removes": [
        "test_a_removal_carries_the_attributes_of_its_cookie",
        "test_cookie.py::test_an_empty_value_makes_a_removal",
    ],
    # Denial of service
    "who only looks, or signs out without a session, costs no record and no server": [
        "test_nobody_costs_nothing",
        "test_roundtrips.py::test_a_request_asks_no_oftener_than_promised",
    ],
    "a corrupt, truncated or huge record is an empty session and a warning": [
        "test_a_damaged_record_is_an_empty_session_and_a_warning",
        "test_record.py::test_a_bomb_is_unreadable",
        "test_record.py::test_every_truncation_is_unreadable",
    ],
    "a form beyond its limits is refused while it streams": [
        "forms/test_limits.py::test_a_form_is_refused_while_it_streams",
        "forms/test_limits.py::test_too_many_of_something_is_400",
        "forms/test_limits.py::test_too_many_bytes_of_something_are_413",
    ],
    # Around it
    "a CSRF token is bound to its session": [
        "test_csrf.py::test_a_token_of_another_session_is_refused",
    ],
    "a forged X-Forwarded-Proto is ignored": [
        "test_no_forwarding_header_is_believed",
        "test_rejections.py::test_a_forged_header_changes_nothing",
    ],
    "after signing in nobody is led to another site": [
        "test_redirects.py::test_what_could_lead_elsewhere_is_replaced",
        "test_examples.py::test_nobody_is_sent_to_another_site",
    ],
    "a store that is down is an error within a timeout, and the cookie stays": [
        "test_a_store_that_is_down_is_an_error_and_the_cookie_stays",
        "test_a_store_that_never_answers_is_an_error_within_its_timeout",
        "backends/test_redis.py::test_a_server_that_is_not_there_is_a_backend_error",
        "backends/test_memcached.py::test_a_node_that_is_not_there_is_a_backend_error",
    ],
    # Found by the second round of attacks
    "many header fields of one name cost linear time, and beyond a limit they are ignored": [
        "test_many_fields_of_one_name_cost_linear_time",
        "test_a_few_fields_of_one_name_are_one_header",
    ],
    "whatever a server answers, nobody gets another's record: it carries a tag of its key": [
        "test_the_record_of_another_key_is_an_error",
        "test_a_refusal_with_the_record_of_another_key_is_an_error",
        "test_whoever_is_served_anonymously_meanwhile_keeps_the_cookie",
    ],
    "a request held open with a stolen old cookie brings nothing back": [
        "test_a_request_held_open_with_a_stolen_cookie_brings_nothing_back",
        "test_a_request_held_open_over_any_change_of_the_id_brings_nothing_back",
        "test_typed_fields_bring_nothing_back",
        "test_a_session_on_the_move_brings_nothing_back",
        "storage/keyed/test_races.py::test_changes_in_place_are_merged",
    ],
    "a sign-out with an id that was changed meanwhile ends the session, but not another user's": [
        "test_a_sign_out_with_an_old_id_ends_the_session",
        "test_a_sign_out_with_a_rotated_id_ends_the_session",
        "test_a_sign_out_with_an_old_id_spares_another_user",
        "_session/test_every_order.py::test_a_row_of_the_table_holds_in_every_order",
    ],
    "who holds an old id can sign out, and gains nothing else": [
        "test_an_old_id_gains_nothing",
        "test_a_session_is_not_handed_from_one_user_to_the_next",
        "test_a_rotated_id_works_for_the_grace_and_not_after_a_change",
    ],
    "a slow answer never puts an older cookie over a newer one": [
        "test_a_slow_answer_puts_no_older_cookie_over_a_newer_one",
        "test_races.py::test_a_request_that_is_overtaken_by_a_move_changes_nothing",
    ],
    "two clicks on sign in leave the browser signed in; two users never end up in one session": [
        "test_two_clicks_on_sign_in_leave_the_browser_signed_in",
        "test_two_users_who_sign_in_at_once_get_two_sessions",
        "test_races.py::test_a_second_click_on_sign_in_signs_in_too",
    ],
    "an upload of a visitor who left an expired session does not renew it after a sign-in": [
        "test_an_upload_of_a_former_visitor_renews_nothing_after_a_sign_in",
        "test_nothing_renews_an_expired_session_but_a_request_that_read_it_in_time",
    ],
    "a rotation changes no CSRF token; a sign-in does": [
        "test_a_rotation_changes_no_csrf_token",
        "test_a_sign_in_changes_the_csrf_token",
    ],
    "a local variable and __rich_repr__ hold no id and no value": [
        "test_no_repr_reveals_anything",
        "test_every_struct_is_hidden_or_holds_nothing",
    ],
    "a response whose body still reads the session says Vary: Cookie": [
        "test_a_body_that_still_reads_the_session_makes_the_response_vary",
    ],
    "of two cookies of one name the living one counts, and a sign-out ends all of them": [
        "test_the_cookie_with_a_living_session_counts",
        "test_a_cookie_that_was_never_ours_hides_nothing",
        "test_of_two_living_sessions_the_first_counts",
        "test_a_sign_out_ends_every_session_that_the_request_carried",
        "test_a_sign_out_beside_dead_cookies_removes_ours",
        "test_a_sign_in_goes_on_from_the_living_session",
    ],
    "two applications with one cookie name on one server share nothing if their secrets differ": [
        "test_nothing_unsealed_is_accepted",
        "test_two_applications_with_one_cookie_name_share_nothing",
    ],
    "a cookie of another package that was adopted once cannot sign in again after the sign-out": [
        "adopt/test_every_storage.py::test_adopted_signed_out_and_never_again",
        "_request/test_adoption.py::test_no_copy_signs_in_again_after_the_sign_out",
        "_request/test_adoption.py::test_no_copy_signs_in_again_after_our_session_ended_by_itself",
        "frameworks/django/test_adoption.py::test_a_copy_of_the_old_key_signs_in_once",
    ],
    "pickles, inflation bombs, wrong salts and expired seals of other packages are refused": [
        "adopt/test_plain_pickle.py::test_what_names_calls_or_builds_is_refused",
        "adopt/test_texts.py::test_inflation_is_bounded",
        "adopt/test_starlette.py::test_another_salt_of_the_same_secret_is_refused",
        "adopt/test_reader.py::test_a_changed_cookie_leads_nowhere",
        "adopt/test_reader.py::test_a_cookie_whose_time_is_over_is_refused",
    ],
    "three first requests with one old cookie make one session": [
        "adopt/test_every_storage.py::test_three_first_requests_make_one_session",
        "_session/test_saving_adopted.py::test_two_first_requests_make_at_most_one_session",
    ],
    "a cookie of another package that was planted leads to no user who signs in with it": [
        "test_saving_adopted.py::test_an_adoption_that_signs_in_gives_the_old_cookie_nothing",
    ],
    "a session in which support staff act as a user ends with the staff's, not with the user's": [
        "test_signing_in.py::test_acting_ends_with_the_sessions_of_the_staff",
        "test_signing_in.py::test_acting_as_a_user",
        "_session/test_sign_in.py::test_acting_ends_by_itself",
        "_session/test_sign_in.py::test_a_late_write_of_the_acting_time_is_dropped",
        "auth/test_signed_in.py::test_while_somebody_acts_the_pin_is_the_actors",
    ],
    "a copied cookie of a device-bound session is nobody's": [
        "test_bound_sessions.py::test_a_sign_in_registers_and_the_session_is_bound",
        "test_without_proof.py::test_such_a_request_counts_as_one_without_a_cookie",
        "django/test_bound.py::test_a_copy_harms_nothing",
        "browser/test_bound.py::test_the_theft",
    ],
    "proofs that are replayed, stale, for another session, of no algorithm or another key": [
        "test_browser_requests.py::test_a_refresh_that_is_wrong_is_refused",
        "test_browser_requests.py::test_a_proof_of_another_session_is_refused",
        "test_browser_requests.py::test_a_challenge_of_an_earlier_round_is_stale",
        "test_browser_requests.py::test_a_copied_proof_is_refused_in_its_other_form_too",
        "_session/test_proof.py::test_a_key_belongs_to_a_registration_alone",
    ],
    "a thief registers no key of their own, and gets no new id without a proof": [
        "test_browser_requests.py::test_a_thief_cannot_register_a_key_of_their_own",
        "test_bound_sessions.py::test_a_request_without_proof_never_changes_the_id",
        "test_bound_sessions.py::test_only_a_sign_in_offers",
    ],
}


@pytest.mark.parametrize("line", LINES)
def test_each_line_has_its_tests(line: str) -> None:
    """The tests that the table names exist."""
    for name in LINES[line]:
        file, _, test = name.rpartition("::")
        found = [path for path in MODULES if path.match(file or "threats/*.py")]
        assert any(f"def {test}(" in path.read_text() for path in found), name
