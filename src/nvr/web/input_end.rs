//! Clients that send no more.
//!
//! One that shuts down its sending side behind its request gets its whole answer (RFC 9112 section 9.6),
//! then the connection ends. One that is gone looks the same at first; it is found out by the first
//! bytes that are sent to it, and a request that waits for something does not wait for long.

use super::Doing;
use crate::nvr::Nvr;
use crate::nvr::port::ConnId;
use crate::time::Now;

impl Nvr {
    pub(super) fn input_ended(&mut self, now: Now, conn: ConnId) {
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        if let Doing::Watching(_) = client.doing {
            // A WebSocket has two sides or none: nobody could say when to stop.
            return self.close_client(conn, true);
        }
        let step = client.connection.input_ended(now);
        self.http_step(now, conn, step);
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::{Browser, Site, UPGRADE};
    use crate::nvr::port::Event;

    #[test]
    fn who_sends_no_more_gets_its_answer_and_the_end() {
        let (mut site, anna, _) = Site::with_users();
        let conn = site.connect(&anna);
        site.database_naps = true;
        site.write(&anna, conn, ("GET", "/api/users/"), "", "");
        site.tell(Event::InputEnded { conn });
        assert!(!site.is_closed(conn) && site.read(conn).is_none());
        site.wake_database();
        let answer = site.read(conn).unwrap();
        assert_eq!(answer.is(200).field("connection"), Some("close"));
        assert!(site.is_closed(conn));
    }

    #[test]
    fn who_wants_nothing_and_sends_no_more_is_let_go_at_once() {
        let (mut site, anna, _) = Site::with_users();
        let idle = site.connect(&Browser::default());
        site.tell(Event::InputEnded { conn: idle });
        assert!(site.is_closed(idle));
        assert!(!site.nvr.web.clients.contains_key(&idle));

        let viewer = site.watch(&anna);
        site.tell(Event::InputEnded { conn: viewer });
        assert!(site.is_closed(viewer));
        assert_eq!(site.nvr.web.viewers(None), 0);

        // The same before it has begun.
        let (mut site, anna, _) = Site::with_users();
        site.pass(std::time::Duration::from_secs(61));
        site.database_naps = true;
        let (early, path) = (site.connect(&anna), site.live_path());
        site.write(&anna, early, ("GET", &path), UPGRADE, "");
        site.tell(Event::InputEnded { conn: early });
        assert!(!site.is_closed(early));
        site.wake_database();
        assert!(site.is_closed(early) && site.read(early).is_none());
        assert_eq!(site.nvr.web.viewers(None), 0);
    }
}
