internal import Policy
internal import TransparentSockets

/// UDP, of one worker: what is received is sorted by flow and sent on, burst by burst. Everything is the loop's own thread's.
///
/// What it does stands in files with extensions, each in the order in which a datagram passes: `Upward` (received, sorted, sent on),
/// `FlowOpening` (decided, and given its way), `Downward` (answers), `FlowEnding`. Nothing is allocated for a datagram, only for a flow.
final class Datagrams {
    /// Nanoseconds between two looks for flows whose time is over.
    static let expiryInterval: UInt64 = 100_000_000
    /// Nanoseconds between two answers to a client that goes on sending what is rejected. The kernel's own are as rare.
    static let tellingInterval: UInt64 = 1_000_000_000
    /// Nanoseconds that a flow goes nowhere after its proxy has failed: whoever sends on must not have us dial for every datagram.
    static let retryInterval: UInt64 = 1_000_000_000
    /// Bytes of datagrams that wait for proxies, in all: whoever sends through one that is silent must not fill our memory.
    static let mostBytesKept = 16 << 20
    /// Batches that one event may bring before other sockets have their turn.
    static let batchesPerTurn = 4

    /// One datagram of a client's, or a burst of equal ones for the same destination.
    struct Entry {
        var data: UnsafeMutableRawBufferPointer
        var segment: Int
        /// The flow's next one; -1: none.
        var next = -1

        var count: Int { segment == 0 ? 1 : (data.count + segment - 1) / segment }
    }

    /// Outlives it.
    unowned(unsafe) let worker: Worker
    var table: FlowTable
    var endpoints: [EndpointKey: Endpoint] = [:]
    var senders = ForeignSenders()
    var sockets: OutsideSockets
    var upward: DatagramBatch
    var downward: DatagramBatch
    var writer: BurstWriter
    var entries: [Entry] = []
    /// Flows that have entries.
    var touched: [Flow] = []
    private var numbers: UInt32 = 0
    /// Open now, with proxies.
    var associations = 0
    var bytesKept = 0
    var locals = LocalAddresses()
    let counters: Counters

    init(of worker: Worker) throws(SocketError) {
        self.worker = worker
        let capacity = worker.settings.batch
        upward = try DatagramBatch(capacity: capacity)
        downward = try DatagramBatch(capacity: capacity)
        writer = BurstWriter(usesSegments: capacity > 1)
        table = FlowTable(limit: worker.settings.maxFlows)
        sockets = OutsideSockets(worker.loop)
        counters = worker.counters.datagrams
        worker.loop.alarm = { [unowned self] in expire() }
    }

    func nextNumber() -> UInt32 {
        numbers &+= 1
        return numbers
    }

    /// The flow of that key. One whose proxy failed a moment ago ends, so that another attempt can be made.
    func find(_ key: FlowKey) -> Flow? {
        guard let flow = table[key] else { return nil }
        guard case .nowhere(let why) = flow.way, why != .proxyRejected, worker.loop.now - flow.failedAt >= Self.retryInterval else {
            return flow
        }
        finish(flow, why)
        return nil
    }

    /// Ends a flow that goes nowhere, for one that may go to the same place by another name.
    ///
    /// - Returns: whether it has.
    func makesWay(_ flow: Flow) -> Bool {
        guard case .nowhere(let why) = flow.way else { return false }
        // What came for it together with this one is counted where it belongs.
        if flow.firstEntry >= 0 { sendUp() }
        finish(flow, why)
        return true
    }

    /// Flows open now.
    var count: Int { table.count }

    func settingsChanged() {
        // Without UDP, what is open goes on as it is.
        if worker.settings.maxFlows > 0 { table.limit = worker.settings.maxFlows }
        // What was rejected may be allowed now.
        for flow in table.all { if case .nowhere(let why) = flow.way { finish(flow, why) } }
        makeRoom()
        if table.count > 0 { worker.loop.alarmAt = 0 }
    }

    func record(of flow: Flow, _ ending: Ending, _ local: LocalAddress?) -> SessionRecord {
        var record = SessionRecord(
            number: 0, listener: flow.endpoint.side.settings.name, client: ClientAddress(flow.endpoint.client),
            destination: OriginalDestination(flow.destination), user: flow.endpoint.side.user, name: flow.name?.description,
            upstream: flow.upstream, rule: flow.decision.rule, local: local, up: flow.up, down: flow.down,
            duration: worker.loop.now - flow.startedAt, ending: ending)
        record.datagrams = SessionRecord.Datagrams(up: flow.datagramsUp, down: flow.datagramsDown)
        return record
    }

    func drop(_ why: Counters.Drop, _ count: Int) { counters.drop(why, UInt64(count)) }

    /// Tells an operator why datagrams go nowhere.
    @discardableResult
    func report(_ ending: Ending, _ side: any ClientSide, _ reason: String) -> Flow? {
        worker.observer.event(.sessionFailed(listener: side.settings.name, ending: ending, reason: reason))
        return nil
    }
}
