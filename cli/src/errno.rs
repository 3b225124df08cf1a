//! Names of the errors of Linux's system calls, which are numbered alike on all of the machines that agents run on.

/// In the order of their numbers from 0 on; `-` where there is none.
const NAMES: &str = "- EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST \
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM \
    ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP - ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG \
    EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT - EBFONT ENOSTR ENODATA ETIME ENOSR ENONET \
    ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG \
    ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE \
    EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE \
    EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN \
    ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL \
    EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD \
    ENOTRECOVERABLE ERFKILL EHWPOISON EHWPOISON";

/// Those that the kernel keeps to itself: the call was interrupted, and is made again or ends in EINTR.
const RESTARTS: [(i64, &str); 4] =
    [(512, "ERESTARTSYS"), (513, "ERESTARTNOINTR"), (514, "ERESTARTNOHAND"), (516, "ERESTART_RESTARTBLOCK")];

/// The largest number of an error: what is below minus it is a value.
const LARGEST: i64 = 4095;

/// The error that a system call returned, by name or else by number; none if it succeeded.
pub(crate) fn of_result(result: i64) -> Option<String> {
    let number = result.checked_neg().filter(|number| (1..=LARGEST).contains(number))?;
    let usual =
        usize::try_from(number).ok().and_then(|number| NAMES.split(' ').nth(number)).filter(|name| *name != "-");
    let name = usual.or_else(|| RESTARTS.iter().find(|(restart, _)| *restart == number).map(|(_, name)| *name));
    Some(name.map_or_else(|| format!("error {number}"), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_results_are_errors_by_name_or_number() {
        let named = [-1, -11, -104, -512, -41, -4095].map(|result| of_result(result).unwrap());
        assert_eq!(named, ["EPERM", "EAGAIN", "ECONNRESET", "ERESTARTSYS", "error 41", "error 4095"]);
        assert_eq!(of_result(-i64::from(libc::EHWPOISON)).unwrap(), "EHWPOISON", "none was left out");
    }

    #[test]
    fn other_results_are_none() {
        assert!([0, 7, i64::MAX, i64::MIN, -4096].iter().all(|result| of_result(*result).is_none()));
    }
}
