//! How an entry of ours is named among all that a repository caches.
//!
//! Each name ends with `~`, so that asking for a key as a prefix never finds a longer key. A number
//! may follow: an upload that was given up half-way keeps its name reserved for ever, so the next
//! one goes under another.

use super::EntryKey;

/// Common to all names of ours.
const NAME_PREFIX: &str = "plimsoll-";

/// The name to ask for: what [`spare`] makes begins with it.
pub(super) fn first(key: &EntryKey) -> String {
    format!("{}~", beginning(&key.0))
}

/// The name to use when those of all lower numbers are taken; 0 is [`first`].
pub(super) fn spare(key: &EntryKey, number: u32) -> String {
    match number {
        0 => first(key),
        number => format!("{}{number}", first(key)),
    }
}

/// What the names of all keys with this beginning begin with.
pub(super) fn beginning(of_key: &str) -> String {
    format!("{NAME_PREFIX}{of_key}")
}

/// The key under which a name is known; `None` for a name that is none of ours.
pub fn key_of(name: &str) -> Option<EntryKey> {
    let (key, number) = name.strip_prefix(NAME_PREFIX)?.rsplit_once('~')?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ours = key.bytes().all(plain) && number.bytes().all(|b| b.is_ascii_digit());
    ours.then(|| EntryKey(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_key() {
        let key = EntryKey("m-go-1".to_owned());
        assert_eq!(first(&key), "plimsoll-m-go-1~");
        assert_eq!(spare(&key, 0), first(&key));
        assert_eq!(spare(&key, 2), "plimsoll-m-go-1~2");
        for number in 0..3 {
            assert_eq!(key_of(&spare(&key, number)).as_ref(), Some(&key));
        }
        // As a prefix it finds its spares, and no other key.
        assert!(spare(&key, 2).starts_with(&first(&key)));
        assert!(!first(&EntryKey("m-go-10".to_owned())).starts_with(&first(&key)));
    }

    #[test]
    fn names_of_others_have_no_key() {
        for name in ["", "m-go-1~", "plimsoll-m-go-1", "plimsoll-a b~", "plimsoll-a~x", "node-~"] {
            assert_eq!(key_of(name), None, "{name}");
        }
    }
}
