//! Names and numbers of signals (L-170).

const NAMES: &str = "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR \
                     QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH \
                     XCPU XFSZ RTMIN RTMAX";

/// Whether Linux has the signal: a number other than zero, or a name with or without `SIG`.
pub(super) fn is_valid(text: &str) -> bool {
    if let Ok(number) = text.parse::<i32>() {
        return number != 0;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |prefix: &str, last: u32| {
        name.strip_prefix(prefix)
            .and_then(|offset| offset.parse::<u32>().ok())
            .is_some_and(|offset| (1..=last).contains(&offset))
    };
    NAMES.split(' ').any(|known| known == name)
        || real_time("RTMIN+", 15)
        || real_time("RTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for valid in ["9", "KILL", "SIGTERM", "sigusr1", "RTMIN+15", "SIGRTMAX-1", "64"] {
            assert!(is_valid(valid), "{valid}");
        }
        for bad in ["0", "", "SIG", "NOPE", "RTMIN+16", "RTMIN+", "9x"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
