extension DomainName {
    /// Whether the name means the host that looks it up, whoever that is.
    ///
    /// `localhost` and what lies below it are that by standard, and nobody may give them another meaning (RFC 6761 §6.3). The
    /// others are what the hosts files of systems call their loopback addresses.
    public var meansLoopback: Bool {
        Self.loopbackNames.contains(description) || description.utf8.suffix(Self.below.count).elementsEqual(Self.below)
    }

    private static let below = Array(".localhost".utf8)

    /// Debian has `ip6-`, Red Hat the digits and domains, others `loopback`.
    private static let loopbackNames: Set<String> = [
        "localhost", "localhost4", "localhost6", "localhost.localdomain", "localhost4.localdomain4", "localhost6.localdomain6",
        "ip6-localhost", "ip6-loopback", "loopback",
    ]
}
