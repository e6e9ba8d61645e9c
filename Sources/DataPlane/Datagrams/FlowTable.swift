internal import TransparentSockets

/// What tells flows apart: who sends, where to, and who of ours heard it.
struct FlowKey: Hashable {
    private let client: EndpointKey
    private let destinationHigh: UInt64
    private let destinationLow: UInt64
    private let destinationPort: UInt16

    init(_ client: EndpointKey, to destination: SocketAddress) {
        self.client = client
        (destinationHigh, destinationLow) = destination.address.bits
        destinationPort = destination.port
    }
}

/// A client's address and port, and who of ours heard it.
struct EndpointKey: Hashable {
    private let high: UInt64
    private let low: UInt64
    private let portAndScope: UInt64
    private let listener: UInt32

    init(_ client: SocketAddress, of listener: UInt32) {
        (high, low) = client.address.bits
        portAndScope = UInt64(client.port) << 32 | UInt64(client.scope)
        self.listener = listener
    }
}

extension IPAddress {
    /// IPv4 addresses as mapped ones.
    fileprivate var bits: (UInt64, UInt64) {
        switch self {
        case .v4(let v4): (0, 0xFFFF_0000_0000 | UInt64(v4.bits))
        case .v6(let v6): (v6.high, v6.low)
        }
    }
}

/// Flows of one worker by key, and in the order in which they fall silent. Bounded: for a new one the longest silent one goes.
///
/// Each flow stands in two lists, its stage's and its client's, ordered by when it was last heard, and in a third, its endpoint's. All
/// operations take constant time.
struct FlowTable {
    /// Clients are told apart by what one host has (``BackOff/source(of:)``).
    final class Share {
        fileprivate var flows = FlowList(.share)
        /// With proxies. They take more than flows do.
        var associations = 0
        /// Since when, and how often, the client was told that something does not arrive.
        private var told: (since: UInt64, count: Int) = (0, 0)

        /// Whether the client may be told once more: who forges its address must not have us flood it.
        func mayTell(now: UInt64) -> Bool {
            if now - told.since >= 1_000_000_000 { told = (now, 0) }
            told.count += 1
            return told.count <= FlowTable.mostTold
        }
    }

    /// How often a client is told within a second that something does not arrive, whatever its flows.
    static let mostTold = 64

    /// Answered questions at a time. Each has a port of ours, of which there are 28,232 for all workers as Linux comes: without a bound,
    /// 14,000 questions a second would use them up.
    static let mostDone = 1_024
    /// Nanoseconds that a question stays after its answer, for a second one or a repetition.
    static let doneTimeout: UInt64 = 2_000_000_000

    private var flows: [FlowKey: Flow] = [:]
    private var stages: [FlowList] = Flow.Stage.allCases.map { _ in FlowList(.stage) }
    private var shares: [IPAddress: Share] = [:]
    /// Flows at a time.
    var limit: Int

    init(limit: Int) { self.limit = limit }

    var count: Int { flows.count }
    /// No client may have more: the other half is for the others.
    var limitOfOne: Int { max(limit / 2, 1) }
    /// Associations with proxies at a time: each takes two descriptors, for which there is room (`Limits`). One client may have half of
    /// them.
    var mostAssociations: Int { max(limit / 2, 1) }
    var mostAssociationsOfOne: Int { max(limit / 4, 1) }

    subscript(key: FlowKey) -> Flow? { flows[key] }

    var all: [Flow] { Array(flows.values) }

    /// Of one client, and of those that it is not told apart from.
    func flows(of client: IPAddress) -> [Flow] { shares[BackOff.source(of: client)]?.flows.all ?? [] }
    func associations(of client: IPAddress) -> Int { shares[BackOff.source(of: client)]?.associations ?? 0 }

    /// The flow that has to go before one of this client's can come; nil: there is room.
    ///
    /// - Parameter endpoint: whose flow is to come. It keeps its outside endpoint (RFC 4787 §4.1) as long as another flow can go.
    func inTheWay(of client: IPAddress, sparing endpoint: EndpointKey) -> Flow? {
        if let share = shares[BackOff.source(of: client)], share.flows.count >= limitOfOne {
            return share.flows.first { !$0.holdsAlone(endpoint) } ?? share.flows.first
        }
        guard flows.count >= limit else { return nil }
        return longestSilent { !$0.holdsAlone(endpoint) } ?? longestSilent()
    }

    /// The first that goes where there is no room, whosever it is; nil: there is none.
    func longestSilent(where mayGo: (Flow) -> Bool = { _ in true }) -> Flow? {
        // What has its answer needs nothing more.
        if let done = stages[Flow.Stage.done.rawValue].first(where: mayGo) { return done }
        return stages.compactMap { $0.first(where: mayGo) }.min { $0.lastAt < $1.lastAt }
    }

    /// The answered question that has to go; nil: there are not too many.
    var doneForLongest: Flow? { stages[Flow.Stage.done.rawValue].count > Self.mostDone ? oldest(.done) : nil }

    mutating func insert(_ flow: Flow) {
        let source = BackOff.source(of: flow.endpoint.client.address)
        let share = shares[source] ?? Share()
        shares[source] = share
        flow.share = share
        flows[flow.key] = flow
        share.flows.append(flow)
        flow.endpoint.flows.append(flow)
        stages[flow.stage.rawValue].append(flow)
    }

    mutating func remove(_ flow: Flow) {
        // Its key may be another one's by now.
        guard flow.isOpen else { return }
        flows[flow.key] = nil
        stages[flow.stage.rawValue].remove(flow)
        flow.endpoint.flows.remove(flow)
        flow.share?.flows.remove(flow)
        if let share = flow.share, share.flows.count == 0 { shares[BackOff.source(of: flow.endpoint.client.address)] = nil }
        flow.share = nil
    }

    /// It was heard now.
    mutating func touch(_ flow: Flow, _ stage: Flow.Stage, now: UInt64) {
        // What was told while it was sent may have ended it.
        guard flow.isOpen else { return }
        flow.lastAt = now
        stages[flow.stage.rawValue].remove(flow)
        flow.stage = stage
        stages[stage.rawValue].append(flow)
        flow.share?.flows.remove(flow)
        flow.share?.flows.append(flow)
    }

    /// The one of a stage that has been silent longest.
    func oldest(_ stage: Flow.Stage) -> Flow? { stages[stage.rawValue].first }

    /// One that has been silent for as long as these settings let it, and how it ends; nil: there is none.
    func overdue(_ settings: Settings, now: UInt64) -> (flow: Flow, ending: Ending)? {
        for stage in Flow.Stage.allCases {
            let (timeout, ending): (UInt64, Ending) =
                switch stage {
                case .unanswered: (settings.flowUnansweredTimeout, .flowUnanswered)
                case .answered: (settings.flowTimeout, .flowIdle)
                case .done: (Self.doneTimeout, .flowIdle)
                }
            if let flow = oldest(stage), now >= flow.lastAt + timeout { return (flow, ending) }
        }
        return nil
    }
}

/// Flows threaded through themselves. The table owns them.
///
/// `Unmanaged`, and not `unowned(unsafe)`: of a structure that begins with an optional of the latter, Swift 6.3 takes an optional for nil
/// when that is nil.
struct FlowList {
    enum Number: Int { case stage, share, endpoint }

    private let number: Int
    private var head: Unmanaged<Flow>?
    private var tail: Unmanaged<Flow>?
    private(set) var count = 0

    init(_ number: Number) { self.number = number.rawValue }

    struct Links {
        fileprivate var previous: Unmanaged<Flow>?
        fileprivate var next: Unmanaged<Flow>?
    }

    var first: Flow? { head?.takeUnretainedValue() }

    func first(where isWanted: (Flow) -> Bool) -> Flow? {
        var next = head
        while let flow = next?.takeUnretainedValue() {
            if isWanted(flow) { return flow }
            next = flow.links[number].next
        }
        return nil
    }

    var all: [Flow] {
        var all: [Flow] = []
        var next = head
        while let flow = next?.takeUnretainedValue() {
            all.append(flow)
            next = flow.links[number].next
        }
        return all
    }

    mutating func append(_ flow: Flow) {
        let new = Unmanaged.passUnretained(flow)
        flow.links[number] = Links(previous: tail, next: nil)
        if let tail { tail.takeUnretainedValue().links[number].next = new } else { head = new }
        tail = new
        count += 1
    }

    mutating func remove(_ flow: Flow) {
        let links = flow.links[number]
        if let previous = links.previous {
            previous.takeUnretainedValue().links[number].next = links.next
        } else {
            head = links.next
        }
        if let next = links.next {
            next.takeUnretainedValue().links[number].previous = links.previous
        } else {
            tail = links.previous
        }
        flow.links[number] = Links()
        count -= 1
    }
}
