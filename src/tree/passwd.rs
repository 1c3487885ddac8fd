//! Users and groups, from the bytes of `/etc/passwd` and `/etc/group` of an image.

/// The most that is read of either file; in bytes. The caller stops reading there.
pub const MAX_ACCOUNT_FILE: u64 = 10 << 20;

/// Who a RUN runs as (L-101).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups; none where `USER` names a group.
    pub groups: Vec<u32>,
    /// As the image has it; `None` for a user without an entry.
    pub home: Option<String>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UserError {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    UnknownUser(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    UnknownGroup(String),
    #[error("the number {0} is out of the range of users and groups")]
    OutOfRange(String),
}

impl User {
    /// Looks up what `USER` says: `user[:group]`, names or numbers, empty for root. A number needs
    /// no entry; without one its group is 0.
    ///
    /// # Errors
    /// When a name has no entry, or a number is over 2³²-2.
    pub fn find(spec: &str, passwd: &[u8], group: &[u8]) -> Result<Self, UserError> {
        let (user, group_spec) = spec.split_once(':').unwrap_or((spec, ""));
        let user = if user.is_empty() { "0" } else { user };
        let uid = number(user)?;
        let account = accounts(passwd).find(|account| match uid {
            Some(uid) => account.uid == uid,
            None => account.name == user.as_bytes(),
        });
        let mut found = match (&account, uid) {
            (Some(account), _) => Self {
                uid: account.uid,
                gid: account.gid,
                groups: Vec::new(),
                home: (!account.home.is_empty())
                    .then(|| String::from_utf8_lossy(account.home).into_owned()),
            },
            (None, Some(uid)) => Self { uid, ..Self::default() },
            // The one name that needs no file.
            (None, None) if user == "root" => Self::default(),
            (None, None) => return Err(UserError::UnknownUser(user.to_owned())),
        };
        if group_spec.is_empty() {
            if let Some(account) = account {
                found.groups = groups(group)
                    .filter(|group| group.members.split(|b| *b == b',').any(|m| m == account.name))
                    .map(|group| group.gid)
                    .collect();
            }
        } else {
            found.gid = gid(group_spec, group)?;
        }
        Ok(found)
    }
}

/// The value of `--chown` (L-135).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    user: String,
    group: Option<String>,
}

impl Owner {
    /// `user[:group]`, names or numbers.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (text, None),
        };
        Self { user: user.to_owned(), group: group.map(str::to_owned) }
    }

    /// Whether [`Owner::find`] needs the files.
    #[must_use]
    pub fn needs_files(&self) -> bool {
        let named = |text: &str| !matches!(text, "" | "root") && !is_number(text);
        named(&self.user) || self.group.as_deref().is_some_and(named)
    }

    /// User and group. Of a number alone the group is the same number; of a name alone it is the
    /// one in passwd. Numbers and `root` are not looked up.
    ///
    /// # Errors
    /// When a name has no entry, which BuildKit takes for root, or a number is over 2³²-2.
    pub fn find(&self, passwd: &[u8], group: &[u8]) -> Result<(u32, u32), UserError> {
        let (uid, mut gid_) = match (self.user.as_str(), number(&self.user)?) {
            ("" | "root", _) => (0, 0),
            (_, Some(uid)) => (uid, uid),
            (name, None) => accounts(passwd)
                .find(|account| account.name == name.as_bytes())
                .map(|account| (account.uid, account.gid))
                .ok_or_else(|| UserError::UnknownUser(name.to_owned()))?,
        };
        if let Some(text) = &self.group {
            gid_ = gid(text, group)?;
        }
        Ok((uid, gid_))
    }
}

fn gid(text: &str, group: &[u8]) -> Result<u32, UserError> {
    if let Some(gid) = number(text)? {
        return Ok(gid);
    }
    if text == "root" {
        return Ok(0);
    }
    groups(group)
        .find(|group| group.name == text.as_bytes())
        .map(|group| group.gid)
        .ok_or_else(|| UserError::UnknownGroup(text.to_owned()))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `None` for a name. The highest number means "unchanged" to the kernel.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    if !is_number(text) {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) if number != u32::MAX => Ok(Some(number)),
        _ => Err(UserError::OutOfRange(text.to_owned())),
    }
}

struct Account<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

/// The lines of a passwd file that can be read; the others are passed over (passwd(5)).
fn accounts(passwd: &[u8]) -> impl Iterator<Item = Account<'_>> {
    lines(passwd).filter_map(|mut fields| {
        let name = fields.next()?;
        let (uid, gid) = (id(fields.nth(1)?)?, id(fields.next()?)?);
        let home = fields.nth(1).unwrap_or_default();
        Some(Account { name, uid, gid, home })
    })
}

struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

fn groups(group: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(group).filter_map(|mut fields| {
        let name = fields.next()?;
        let gid = id(fields.nth(1)?)?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

fn lines(file: &[u8]) -> impl Iterator<Item = impl Iterator<Item = &[u8]>> {
    file.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .map(|line| line.split(|byte| *byte == b':'))
}

fn id(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok().and_then(|text| number(text).ok().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"# users\nroot:x:0:0:root:/root:/bin/sh\nbroken\n\
        bad:x:minus:1::/:\napp:x:1000:1001:App:/home/app:/bin/sh\r\nshort:x:5:6\n\
        app:x:9:9::/other:\n";
    const GROUP: &[u8] = b"root:x:0:\napp:x:1001:\nwheel:x:10:root,app\naudio:x:29:app\n\
        video:x:44:apple\nbad:x::app\n";

    fn user(uid: u32, gid: u32, groups: &[u32], home: Option<&str>) -> Result<User, UserError> {
        Ok(User { uid, gid, groups: groups.to_vec(), home: home.map(str::to_owned) })
    }

    #[test]
    fn a_user_is_found_by_name_or_number() {
        for (spec, expected) in [
            ("", user(0, 0, &[10], Some("/root"))),
            ("root", user(0, 0, &[10], Some("/root"))),
            ("app", user(1000, 1001, &[10, 29], Some("/home/app"))),
            ("1000", user(1000, 1001, &[10, 29], Some("/home/app"))),
            ("app:audio", user(1000, 29, &[], Some("/home/app"))),
            ("app:77", user(1000, 77, &[], Some("/home/app"))),
            ("4242", user(4242, 0, &[], None)),
            ("4242:4243", user(4242, 4243, &[], None)),
            ("short", user(5, 6, &[], None)),
            ("nobody", Err(UserError::UnknownUser("nobody".to_owned()))),
            ("bad", Err(UserError::UnknownUser("bad".to_owned()))),
            ("app:nogroup", Err(UserError::UnknownGroup("nogroup".to_owned()))),
            ("4294967295", Err(UserError::OutOfRange("4294967295".to_owned()))),
        ] {
            assert_eq!(User::find(spec, PASSWD, GROUP), expected, "{spec}");
        }
    }

    #[test]
    fn an_image_without_accounts_has_root_and_numbers() {
        for spec in ["", "root", "0", "0:0", "root:root"] {
            assert_eq!(User::find(spec, b"", b""), user(0, 0, &[], None), "{spec}");
        }
    }

    #[test]
    fn an_owner_is_found_as_chown_says() {
        for (text, expected, needs_files) in [
            ("7", Ok((7, 7)), false),
            ("7:8", Ok((7, 8)), false),
            ("root", Ok((0, 0)), false),
            ("0", Ok((0, 0)), false),
            ("1000", Ok((1000, 1000)), false),
            ("app", Ok((1000, 1001)), true),
            ("app:", Ok((1000, 1001)), true),
            ("app:audio", Ok((1000, 29)), true),
            ("7:audio", Ok((7, 29)), true),
            (":audio", Ok((0, 29)), true),
            ("app:5", Ok((1000, 5)), true),
            ("who", Err(UserError::UnknownUser("who".to_owned())), true),
            ("7:who", Err(UserError::UnknownGroup("who".to_owned())), true),
            ("99999999999", Err(UserError::OutOfRange("99999999999".to_owned())), false),
        ] {
            let owner = Owner::parse(text);
            assert_eq!(owner.find(PASSWD, GROUP), expected, "{text}");
            assert_eq!(owner.needs_files(), needs_files, "{text}");
        }
    }
}
