internal import Policy
internal import Protocols
internal import TransparentSockets

/// One UDP conversation: a client's address and port, and where it sends to. Belongs to one worker for life.
final class Flow {
    /// How long it may be silent.
    enum Stage: Int, CaseIterable {
        /// Nobody has answered so far; a question: not all that was asked.
        case unanswered
        case answered
        /// A question that has its answer.
        case done
    }

    /// Where its datagrams go.
    enum Way {
        /// To the destination, through a socket that the client's other flows share.
        case direct(Mapping)
        case association(Association)
        /// Nowhere: it was rejected, or cannot be.
        case nowhere(Ending)
    }

    let key: FlowKey
    let endpoint: Endpoint
    let destination: SocketAddress
    /// What the client asked for by name, if it did.
    let name: DomainName?
    let decision: Decision
    let upstream: String?
    var way: Way
    /// Before each of its datagrams on their way up.
    let header: [UInt8]
    let startedAt: UInt64
    var lastAt: UInt64
    var stage = Stage.unanswered
    var links: [3 of FlowList.Links] = [FlowList.Links(), FlowList.Links(), FlowList.Links()]
    var share: FlowTable.Share?
    /// Bytes, and datagrams, that were taken on their way.
    var up: UInt64 = 0
    var down: UInt64 = 0
    var datagramsUp: UInt64 = 0
    var datagramsDown: UInt64 = 0
    /// Bytes of the datagram that came last from the client.
    var lastLength = 0
    /// Why what was sent last does not arrive, as far as was told.
    var refusal: Ending?
    /// When its proxy failed; 0: it has not.
    var failedAt: UInt64 = 0
    /// When the client was told last that nothing arrives; 0: never.
    var toldAt: UInt64 = 0
    /// Its entries among those that were received together; -1: none.
    var firstEntry = -1
    var lastEntry = -1

    init(
        _ key: FlowKey, of endpoint: Endpoint, to destination: SocketAddress, name: DomainName? = nil, _ decision: Decision,
        upstream: String?, _ way: Way, now: UInt64
    ) {
        self.key = key
        self.endpoint = endpoint
        self.destination = destination
        self.name = name
        self.decision = decision
        self.upstream = upstream
        self.way = way
        header = if case .association = way { SOCKSDatagram.header(destination) } else { [] }
        startedAt = now
        lastAt = now
    }

    var isOpen: Bool { share != nil }

    /// Whether an outside endpoint of this client's endpoint goes with it.
    func holdsAlone(_ key: EndpointKey) -> Bool {
        guard endpoint.key == key else { return false }
        return switch way {
        case .direct(let mapping): mapping.flows == 1
        case .association(let association): association.flows == 1
        case .nowhere: false
        }
    }

    /// Questions that one flow asks at most: two of a resolver's, for both families, and both again. What sends more is none.
    static let mostQuestions: UInt64 = 8

    /// Questions and their answers are all there is.
    var isQuestion: Bool { destination.port == 53 && datagramsUp <= Self.mostQuestions }

    /// Where it stands when the client has sent something. A question that is asked again waits for another answer; what has turned out to
    /// be none has been answered if anything has come.
    var stageWhenAsked: Stage {
        guard isQuestion else { return datagramsDown > 0 ? .answered : stage }
        return stage == .done ? .unanswered : stage
    }

    /// Where it stands when something has come for the client.
    var stageWhenAnswered: Stage {
        guard isQuestion else { return .answered }
        return datagramsDown >= datagramsUp ? .done : .unanswered
    }
}

/// A client's address and port. It keeps one outside endpoint towards everybody (RFC 4787 §4.1), so its flows share their sockets.
final class Endpoint {
    let key: EndpointKey
    let client: SocketAddress
    let side: any ClientSide
    var mappings: [Mapping] = []
    var associations: [Association] = []
    var flows = FlowList(.endpoint)

    init(_ key: EndpointKey, _ client: SocketAddress, _ side: any ClientSide) {
        self.key = key
        self.client = client
        self.side = side
    }
}
