internal import DataPlane
internal import Protocols
internal import Synchronization
internal import SystemPackage
internal import TransparentSockets

/// What a usocksd counts, by the names and labels of old. Fed by all workers, read by whoever asks, kept over reloads.
final class UsocksdMetrics: Sendable {
    /// What became of a connection: `version` and `status`.
    enum Outcome: String, CaseIterable, Sendable {
        case granted5 = "SOCKS5 granted"
        case failure5 = "SOCKS5 failure"
        case notAllowed5 = "SOCKS5 not_allowed"
        case networkUnreachable5 = "SOCKS5 network_unreachable"
        case hostUnreachable5 = "SOCKS5 host_unreachable"
        case refused5 = "SOCKS5 connection_refused"
        case ttlExpired5 = "SOCKS5 TTL_expired"
        case command5 = "SOCKS5 command_not_supported"
        case addressType5 = "SOCKS5 address_type_not_supported"
        case authentication5 = "SOCKS5 authentication_failure"
        case addressRead5 = "SOCKS5 address_read_failure"
        case granted4 = "SOCKS4_4a granted"
        case rejected4 = "SOCKS4_4a rejected"
        case invalid = "unknown invalid_request"
        case unknownVersion = "unknown unknown_version"
        /// A client that is not served; usocksd heard it out first.
        case notAllowed = "unknown not_allowed"

        var labels: Exposition.Labels {
            let words = rawValue.split(separator: " ").map(String.init)
            return ["version": words[0], "status": words[1]]
        }
    }

    /// How agreeing on a way to show credentials went: `type` and `result`.
    enum Authentication: String, CaseIterable, Sendable {
        case none = "no_auth ok"
        case noneFailed = "no_auth failed"
        case basic = "basic ok"
        case basicFailed = "basic failed"

        var labels: Exposition.Labels { typeAndResult(rawValue) }
    }

    /// How reading an address went: `type` and `result`.
    enum Address: String, CaseIterable, Sendable {
        case ipv4 = "IPv4 ok"
        case ipv4Failed = "IPv4 failed"
        case ipv6 = "IPv6 ok"
        case ipv6Failed = "IPv6 failed"
        case name = "Domain_name ok"
        case nameFailed = "Domain_name failed"
        case unknown = "unknown ok"
        case unknownFailed = "unknown failed"

        var labels: Exposition.Labels { typeAndResult(rawValue) }
    }

    private let outcomes = CountersBy<Outcome>()
    private let authentications = CountersBy<Authentication>()
    private let addresses = CountersBy<Address>()
    private let openNow = Atomic<Int>(0)
    private let succeeded = Histogram.seconds()
    private let failed = Histogram.seconds()
    private let txBytes = Histogram.bytes()
    private let rxBytes = Histogram.bytes()
    private let txSeconds = Histogram.seconds()
    private let rxSeconds = Histogram.seconds()
    /// Of the direction up, and of the direction down.
    private let errors = Counters(2)
    private let blockLists = Mutex<(pools: [SourcePool], questions: BlockListChecker.Counters?)>(([], nil))

    // MARK: What workers tell

    func opened(_ opening: SessionOpening) {
        openNow.wrappingAdd(1, ordering: .relaxed)
        outcomes.add(at: opening.socks?.version == .four ? .granted4 : .granted5)
        if let socks = opening.socks { note(socks) }
    }

    func ended(_ record: SessionRecord) {
        guard record.local != nil else {
            outcomes.add(at: Outcome(record))
            if let socks = record.socks { note(socks) }
            return
        }
        openNow.wrappingSubtract(1, ordering: .relaxed)
        let isOrderly = record.ending == .clientFIN || record.ending == .upstreamFIN
        (isOrderly ? succeeded : failed).observe(record.duration)
        txBytes.observe(record.up)
        rxBytes.observe(record.down)
        txSeconds.observe(record.upDuration)
        rxSeconds.observe(record.downDuration)
        switch record.ending {
        // Who reads from a broken client, or writes to a broken upstream: the direction up.
        case .clientReset, .clientGone, .upstreamTimeout: errors.add(at: 0)
        case .upstreamReset, .upstreamUnreachable, .clientTimeout: errors.add(at: 1)
        default: break
        }
    }

    private func note(_ socks: SOCKSProgress) {
        guard socks.version == .five, let method = socks.method else { return }
        switch (method, socks.stage) {
        case (.none, _): authentications.add(at: .none)
        case (.password, .methods), (.password, .credentials), (.password, .credentialsVersion), (.password, .credentialsRefused):
            authentications.add(at: .basicFailed)
        case (.password, _): authentications.add(at: .basic)
        }
        guard let type = socks.addressType else { return }
        let isRead = socks.stage == .whole || socks.stage == .command
        switch type {
        case .ipv4: addresses.add(at: isRead ? .ipv4 : .ipv4Failed)
        case .ipv6: addresses.add(at: isRead ? .ipv6 : .ipv6Failed)
        case .name: addresses.add(at: isRead ? .name : .nameFailed)
        case .unknown: addresses.add(at: .unknownFailed)
        }
    }

    // MARK: What the admin thread tells

    func tell(_ sources: [SourcePool], _ questions: BlockListChecker.Counters) {
        blockLists.withLock { $0 = (sources.filter { $0.blockList != nil }, questions) }
    }

    // MARK: What is told of it

    func exposition(_ format: Exposition.Format) -> [UInt8] {
        var text = Exposition(format)
        text.counters(
            "usocksd_connections", "Connections, by what became of them.",
            Outcome.allCases.map { ($0.labels, outcomes[$0]) })
        text.counters(
            "usocksd_socks5_auth_negotiated", "Agreements on a way to show credentials.",
            Authentication.allCases.map { ($0.labels, authentications[$0]) })
        text.counters(
            "usocksd_socks5_address_read", "Addresses in requests.", Address.allCases.map { ($0.labels, addresses[$0]) })
        text.gauge(
            "usocksd_proxy_inflight_requests", "Connections that are open now.", openNow.load(ordering: .relaxed))
        text.histograms(
            "usocksd_proxy_elapsed_seconds", "How long connections were served.",
            [(["result": "success"], succeeded), (["result": "error"], failed)])
        text.histograms("usocksd_proxy_tx_bytes", "Bytes from client to destination.", [([:], txBytes)])
        text.histograms("usocksd_proxy_rx_bytes", "Bytes from destination to client.", [([:], rxBytes)])
        text.histograms("usocksd_proxy_tx_seconds", "How long the way from client to destination was open.", [([:], txSeconds)])
        text.histograms("usocksd_proxy_rx_seconds", "How long the way from destination to client was open.", [([:], rxSeconds)])
        text.counters("usocksd_proxy_tx_errors", "Errors on the way from client to destination.", [([:], errors[0])])
        text.counters("usocksd_proxy_rx_errors", "Errors on the way from destination to client.", [([:], errors[1])])
        expose(blockLists.withLock { $0 }, &text)
        return text.finished()
    }

    /// Nothing where no list is asked: usocksd had none of these.
    private func expose(_ lists: (pools: [SourcePool], questions: BlockListChecker.Counters?), _ text: inout Exposition) {
        guard let questions = lists.questions, !lists.pools.isEmpty else { return }
        text.gauges(
            "usocksd_dnsbl_listed", "Whether the block list names a source address, as far as is known.",
            lists.pools.flatMap(\.sources).map { (["address": $0.address.description], $0.isListed ? 1 : 0) })
        text.counters(
            "usocksd_dnsbl_lookups", "Questions to the block list, by what it said.",
            [
                (["result": "listed"], questions.listed.load(ordering: .relaxed)),
                (["result": "not_listed"], questions.notListed.load(ordering: .relaxed)),
                (["result": "failed"], questions.failed.load(ordering: .relaxed)),
            ])
    }
}

private func typeAndResult(_ words: String) -> Exposition.Labels {
    let words = words.split(separator: " ").map(String.init)
    return ["type": words[0], "result": words[1]]
}

extension UsocksdMetrics.Outcome {
    /// Of a connection that did not reach its destination.
    init(_ record: SessionRecord) {
        guard let socks = record.socks else {
            self = record.isDenied ? .notAllowed : .invalid
            return
        }
        guard let version = socks.version else {
            self = socks.stage == .foreign ? .unknownVersion : .invalid
            return
        }
        guard version == .five else {
            self = .rejected4
            return
        }
        switch socks.stage {
        case .preamble, .foreign, .methods, .noMethod, .credentials, .credentialsVersion, .credentialsRefused:
            self = .authentication5
        case .request, .requestVersion, .target: self = .addressRead5
        case .command: self = .command5
        case .addressType: self = .addressType5
        case .whole: self = Self.reply(record)
        }
    }

    /// As the client was told.
    private static func reply(_ record: SessionRecord) -> Self {
        switch record.ending {
        case .proxyRejected, .proxySelf: .notAllowed5
        case .upstreamRefused: .refused5
        case .upstreamUnreachable:
            if case .call(let error) = record.cause, error.errno == .networkUnreachable {
                .networkUnreachable5
            } else {
                .hostUnreachable5
            }
        case .upstreamTimeout, .upstreamUnresolved: .hostUnreachable5
        default: .failure5
        }
    }
}
