//! nftables: tables, chains and rules, changed in transactions. Must not know:
//! what they are for.
//!
//! The messages are those that nft(8) sends, so that it prints the rules as its
//! own. Handles tell rules apart; comments identify them later.

mod batch;
mod expression;
mod message;
mod names;
pub(crate) mod read;

use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

pub use self::batch::{BaseChain, Batch, Chain, ChainKind, Family, Hook, IpMatch, Policy, Rule, Statement};
use self::names::{NAME_MAX, check_name};
pub use self::read::ListedRule;
use crate::socket::Socket;
use crate::{Error, Netns};

/// A netfilter socket. It belongs to the network namespace that it was opened in,
/// no matter which thread uses it.
#[derive(Debug)]
pub struct Nftables {
    socket: Socket,
}

impl Netns {
    /// Opens a netfilter socket in the namespace. `EPROTONOSUPPORT` from a kernel
    /// without `CONFIG_NETFILTER_NETLINK`. Without `CONFIG_NF_TABLES`, requests to
    /// the socket fail with `EINVAL` or `EOPNOTSUPP`.
    pub fn nftables(&self) -> Result<Nftables, Error> {
        let socket = self.run(|| Socket::open(NETLINK_NETFILTER, &[]))?;
        Ok(Nftables { socket: socket.map_err(|error| error.during("netns-nftables"))? })
    }
}

impl Nftables {
    /// Does all steps of a batch, or none. The error is that of the first step that
    /// failed, and names it: `nft add-rule <table> <chain>`. Before anything is
    /// sent: `EINVAL` for a name that is empty or has a NUL, and for addresses of
    /// two IP versions; `ENAMETOOLONG` for a name or a comment that is too long.
    /// `EMSGSIZE` for a batch that doesn't fit into the send buffer. The buffer grows
    /// as needed with `CAP_NET_ADMIN` in the initial user namespace, otherwise to
    /// net.core.wmem_max.
    pub fn apply(&mut self, batch: &Batch) -> Result<(), Error> {
        if batch.steps.is_empty() {
            return Ok(());
        }
        let messages = message::messages(batch)?;
        self.socket.batch(messages).map_err(|(position, error)| {
            // The first message begins the batch, the last ends it. An error of one of
            // these concerns the whole batch.
            let step = position.checked_sub(1).and_then(|position| batch.steps.get(position));
            error.during(match step {
                Some(step) => message::named(batch, step),
                None => format!("nft commit {}", batch.table),
            })
        })
    }

    /// Lists the rules of a chain, in order; none if there is no such chain or table.
    /// (`NFT_MSG_GETRULE` with `NLM_F_DUMP`)
    pub fn rules(&mut self, family: Family, table: &str, chain: &str) -> Result<Vec<ListedRule>, Error> {
        let during = |error: Error| error.during(format!("nft rules {table} {chain}"));
        check(&[table, chain]).map_err(during)?;
        let replies = self.socket.dump(&message::get_rules(family, table, chain)).or_else(nothing).map_err(during)?;
        replies
            .iter()
            .filter_map(|reply| read::rule(reply, table, chain).transpose())
            .collect::<Result<_, _>>()
            .map_err(|error| during(Error::from_decode(error)))
    }

    /// Lists the names of a table's chains; none if there is no such table.
    /// (`NFT_MSG_GETCHAIN` with `NLM_F_DUMP`)
    pub fn chains(&mut self, family: Family, table: &str) -> Result<Vec<String>, Error> {
        let during = |error: Error| error.during(format!("nft chains {table}"));
        check(&[table]).map_err(during)?;
        let replies = self.socket.dump(&message::get_chain(family, None)).or_else(nothing).map_err(during)?;
        replies
            .iter()
            .filter_map(|reply| read::chain(reply, table).transpose())
            .collect::<Result<_, _>>()
            .map_err(|error| during(Error::from_decode(error)))
    }

    /// Whether a table has a chain. (`NFT_MSG_GETCHAIN`)
    pub fn has_chain(&mut self, family: Family, table: &str, chain: &str) -> Result<bool, Error> {
        check(&[table, chain])
            .and_then(|()| self.socket.request(message::get_chain(family, Some((table, chain))), 0))
            .map(|_| true)
            .or_else(absent)
            .map_err(|error| error.during(format!("nft has-chain {table} {chain}")))
    }

    /// Whether there is a table. (`NFT_MSG_GETTABLE`)
    pub fn has_table(&mut self, family: Family, table: &str) -> Result<bool, Error> {
        check(&[table])
            .and_then(|()| self.socket.request(message::get_table(family, table), 0))
            .map(|_| true)
            .or_else(absent)
            .map_err(|error| error.during(format!("nft has-table {table}")))
    }
}

fn check(names: &[&str]) -> Result<(), Error> {
    names.iter().try_for_each(|name| check_name(name, NAME_MAX)).map_err(Error::from_errno)
}

fn absent(error: Error) -> Result<bool, Error> {
    if error.errno() == Errno::ENOENT as i32 { Ok(false) } else { Err(error) }
}

fn nothing<T>(error: Error) -> Result<Vec<T>, Error> {
    if error.errno() == Errno::ENOENT as i32 { Ok(Vec::new()) } else { Err(error) }
}
