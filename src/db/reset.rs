//! A reset that keeps recordings: what people have set goes, and what was recorded stays.

use super::{Database, Error};

impl Database {
    /// Users go with their sessions and tokens, signals with what they told, and cameras but for their
    /// recordings: one that is made by the same name, or that the configuration file names, has them again.
    pub(super) fn reset(&mut self) -> Result<(), Error> {
        let tx = self.transaction()?;
        // Also the room that passwords and hashes of them took is overwritten.
        tx.pragma_update(None, "secure_delete", true)?;
        tx.execute_batch(
            "delete from user;
             delete from signal;
             delete from signal_type;
             delete from device;
             delete from device_try;
             update camera set description = '', username = '', password = '', in_file = 0,
               removed = coalesce(removed, 'kept');
             update stream set url = '', record = 0;",
        )?;
        Ok(tx.commit()?)
    }
}
