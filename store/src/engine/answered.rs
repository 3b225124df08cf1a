//! Who is answered at all: the user `default`, as which libchdb itself works, needs no password. So one who asks as `default`, or names nobody, which is
//! the same, finds nothing at the engine's port.

/// Rules for requests with ClickHouse's own headers, beside which it takes no other word on who asks, and for those with `Authorization`, which tools take
/// from `http://user:password@host`. Beside that one it goes by parameters of the address, `user` and `password`, in whatever letters they are
/// written (`%75ser`): so with it there may be none.
///
/// The text is Base64 of `syncli`, with which the names of both of our users begin, and no other user's does. An expression is searched for unless it says
/// where it begins and ends.
const RULES: [(&str, &str, &str); 2] = [
    ("X-ClickHouse-User", "^syncline(_reader)?$", ""),
    ("Authorization", "^Basic c3luY2xp[A-Za-z0-9+/]*=*$", "<empty_query_string/>"),
];

/// What the server's settings say of them.
pub(super) fn http_handlers() -> String {
    RULES.map(|(header, value, also)| rule(header, value, also)).concat()
}

fn rule(header: &str, value: &str, also: &str) -> String {
    let handler = "<type>dynamic_query_handler</type><query_param_name>query</query_param_name>";
    format!(
        "    <rule><headers><{header}>regex:{value}</{header}></headers>{also}<handler>{handler}</handler></rule>\n"
    )
}
