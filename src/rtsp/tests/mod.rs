//! Cameras as they are: each file in `dialogues/` is one, named after what it shows, and is played
//! against the client in one piece, byte by byte, and in random pieces: always the same outcome.

mod dialogue;
mod sdp;
mod session;

/// One test for each dialogue.
macro_rules! dialogues {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            dialogue::play(include_str!(concat!("dialogues/", stringify!($name), ".txt")));
        })*

        /// No dialogue lies there that is not played.
        #[test]
        fn every_dialogue_is_played() {
            let listed = [$(concat!(stringify!($name), ".txt")),*];
            let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rtsp/tests/dialogues");
            for entry in std::fs::read_dir(dir).unwrap() {
                let name = entry.unwrap().file_name();
                assert!(listed.iter().any(|l| name == *l), "{name:?} is not listed");
            }
        }
    };
}

dialogues! {
    plain_session
    white_space_in_headers
    lone_line_feeds
    line_ends_between_packets_and_replies
    packets_on_channels_nobody_asked_for
    packets_before_plays_reply
    packets_after_teardown
    teardown_ignored
    teardown_twice_and_without_a_session
    old_live555_is_waited_for
    old_live555_that_answers_teardown
    new_live555_is_not_waited_for
    content_type_missing_or_odd
    describe_wanted_again_before_setup
    describe_wanted_again_only_once
    content_base_missing
    content_base_without_scheme
    content_base_without_slash
    content_base_of_another_host
    content_base_with_query
    control_absolute
    control_empty_or_missing
    control_with_query
    digest_at_describe
    digest_of_several_kinds
    basic_only
    password_refused
    password_wanted_but_none_given
    challenge_nobody_can_answer
    stale_nonce_in_mid_session
    stale_nonce_for_each_request
    nonce_tied_to_describe
    session_id_that_changes
    session_timeout_far_below_a_minute
    transport_oddities
    transport_missing
    rtp_info_oddities
    keepalive_only_options
    keepalive_only_get_parameter
    keepalive_only_set_parameter
    keepalive_with_no_public
    keepalive_refused
    keepalive_finds_the_session_lost
    redirect_301
    redirect_302
    redirect_305
    redirect_without_location
    redirect_to_nonsense
    redirect_request
    requests_of_the_camera
    teardown_by_the_camera
    options_refused
    describe_refused
    never_answers
    never_answers_play
    stall
    first_packet_never_comes
    no_cseq_in_replies
    stray_replies
    junk_in_the_stream
    http_instead_of_rtsp
    udp
    udp_refused
    udp_answered_with_interleaved
    udp_sockets_cannot_be_had
    udp_sockets_never_come
    udp_without_server_ports
    interleaved_answered_with_udp
    no_video
    video_of_another_codec
    reason_that_would_spoil_a_log
}
