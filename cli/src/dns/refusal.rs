//! Why a message was refused, or passed over.

macro_rules! named {
    (
        $(#[$meta:meta])*
        pub(crate) enum $name:ident { $( $(#[$doc:meta])* $variant:ident = $text:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $( $(#[$doc])* $variant, )+ }

        impl $name {
            /// Every one of them, in the order of their numbers.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name that users see: lower case, words joined by `-`.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

named! {
    /// Why a message got no answer, or an error.
    pub(crate) enum Refusal {
        /// Its bytes are no message.
        Malformed = "malformed",
        /// It is an answer.
        NotAQuery = "not-a-query",
        /// It asks for something else than a look-up (RFC 1035 §4.1.1, OPCODE).
        Opcode = "opcode",
        /// It has none, or several questions (RFC 9619).
        Questions = "questions",
        /// EDNS of a version that nobody knows yet (RFC 6891 §6.1.3).
        Version = "edns-version",
        /// It asks of another class than the Internet's.
        Class = "class",
        /// It asks for a zone as a whole, or something that is no record.
        Kind = "type",
        /// It is not from the network.
        Source = "foreign-source",
        /// The name is not ours, and it does not want others to be asked.
        NoRecursion = "no-recursion",
        /// The name is not ours, and the network leads nowhere.
        Closed = "isolated",
        /// Too many questions to others are under way.
        Busy = "busy",
        /// Too many of this client's.
        ClientBusy = "client-busy",
        /// Nobody of those that were asked has answered.
        Upstream = "upstream",
        /// Too many TCP connections are open.
        Connections = "connections",
    }
}
