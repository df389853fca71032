//! Addresses: where we listen, where an upstream listens, what a request names as its host.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::finding::Problem;
use crate::quote::ticked;

/// `ip:port`, as a listener has it.
pub(super) fn listener(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| {
        let help = match text.rsplit_once(':') {
            Some(("", port)) if port.parse::<u16>().is_ok() => {
                format!("write `127.0.0.1:{port}` for this machine alone, `0.0.0.0:{port}` for all")
            }
            Some(("localhost", port)) if port.parse::<u16>().is_ok() => {
                format!("write `127.0.0.1:{port}`")
            }
            _ => "write an IP address and a port, such as `127.0.0.1:9000` or `[::1]:9000`"
                .to_owned(),
        };
        Problem::new(
            format!("{} is not an address to listen on", ticked(text)),
            "an IP address, a colon and a port belong here",
            help,
        )
    })
}

/// The host and port of `http://host:port`.
pub(super) fn http_url(text: &str) -> Result<(String, u16), Problem> {
    let wrong = |why: &str, help: String| {
        Problem::new(
            format!("{} is not the URL of an upstream", ticked(text)),
            why,
            help,
        )
    };
    let example = || "write it like `http://127.0.0.1:8081`".to_owned();
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(wrong(
            "`http://` is missing",
            format!("write {}", ticked(&format!("http://{text}"))),
        ));
    };
    match scheme {
        "http" => {}
        "https" => {
            return Err(wrong(
                "connections to upstreams are plain HTTP: TLS is not spoken here",
                "use the plain port, or put a TLS tunnel in between".to_owned(),
            ));
        }
        other => {
            return Err(wrong(
                &format!("{} is not `http`", ticked(other)),
                example(),
            ));
        }
    }
    let (authority, path) = rest
        .find(['/', '?', '#'])
        .map_or((rest, ""), |at| rest.split_at(at));
    if !matches!(path, "" | "/") {
        return Err(wrong(
            "the path of a request is passed on as it is: an upstream has none of its own",
            format!("write {}", ticked(&format!("http://{authority}"))),
        ));
    }
    if authority.contains('@') {
        return Err(wrong(
            "a user and a password do not belong into a URL",
            example(),
        ));
    }
    let port_at = authority
        .rfind(':')
        .filter(|at| !authority[*at..].contains(']'));
    let Some((host_text, port)) = port_at.map(|at| (&authority[..at], &authority[at + 1..])) else {
        return Err(wrong(
            "the port is missing",
            format!("write {}", ticked(&format!("http://{authority}:80"))),
        ));
    };
    let port = match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => number,
        _ => {
            return Err(wrong(
                &format!("{} is not a port", ticked(port)),
                "a port is from 1 to 65535".to_owned(),
            ));
        }
    };
    let host = host(host_text).map_err(|why| wrong(&why, example()))?;
    Ok((host, port))
}

/// A host in lower case: a DNS name, an IPv4 address, or an IPv6 address in brackets. Otherwise why not.
pub(super) fn host(text: &str) -> Result<String, String> {
    let shown = ticked(text);
    if let Some(inside) = text.strip_prefix('[') {
        return match inside.strip_suffix(']').map(str::parse::<Ipv6Addr>) {
            Some(Ok(address)) => Ok(format!("[{address}]")),
            _ => Err(format!("{shown} is not an IPv6 address in brackets")),
        };
    }
    if text.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address stands in brackets: `[{text}]`"));
    }
    if text.contains(':') {
        return Err(format!("{shown} has a colon, and a host has none"));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(format!("{shown} is not a host name"));
    }
    // What ends in a number is an address to everything that resolves names (WHATWG URL, 3.5).
    let numeric = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(format!("{shown} is not an IPv4 address"));
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_port_and_nothing_else() {
        let good = |text| http_url(text).unwrap();
        assert_eq!(
            good("http://127.0.0.1:8081"),
            ("127.0.0.1".to_owned(), 8081)
        );
        assert_eq!(
            good("http://Pricing.shop.example:80/"),
            ("pricing.shop.example".to_owned(), 80)
        );
        assert_eq!(good("http://[::1]:8081"), ("[::1]".to_owned(), 8081));
        for bad in [
            "",
            "127.0.0.1:80",
            "https://a:443",
            "ftp://a:1",
            "http://a",
            "http://[::1]",
            "http://:80",
            "http://a:0",
            "http://a:65536",
            "http://a:80/x",
            "http://a:80?x",
            "http://a:80#x",
            "http://u:p@a:80",
            "http://ä:80",
            "http://a b:80",
            "http://-a:80",
            "http://1.2.3:80",
            "http://1.2.3.256:80",
            "http://::1:80",
            "http://[::1:80",
            "http://a..b:80",
            "http://a:+1",
        ] {
            assert!(http_url(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn a_listener_has_an_address_and_a_port() {
        assert!(listener("127.0.0.1:0").is_ok());
        assert!(listener(":9000").unwrap_err().help.contains("0.0.0.0:9000"));
        assert!(
            listener("localhost:9000")
                .unwrap_err()
                .help
                .contains("127.0.0.1:9000")
        );
        assert!(listener("9000").is_err());
    }
}
