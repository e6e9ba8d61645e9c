public import TransparentSockets

public enum TransportProtocol: String, Hashable, Sendable, CaseIterable {
    case tcp, udp
}

/// What is to be done with a session.
public enum Action: Hashable, Sendable {
    case direct
    case reject
    /// An upstream, by its number in the configuration.
    case upstream(Int)
}

/// One entry of the policy. A criterion that is nil asks nothing; of several, all must hold; of its values, one.
///
/// A criterion without values is therefore held by nobody: a rule for the names in a list that turns out to be empty must
/// not become a rule for everything.
public struct Rule: Sendable, Equatable {
    public var domains: [DomainPattern]?
    public var destinations: [IPNetwork]?
    public var ports: [ClosedRange<UInt16>]?
    public var clients: [IPNetwork]?
    /// Names of listeners.
    public var listeners: [String]?
    /// Who they say they are, and have shown that they are.
    public var users: [String]?
    /// Of a request of HTTP. What is asked of requests, nothing else has.
    public var methods: [String]?
    public var paths: [PathPattern]?
    public var urls: [URLPattern]?
    /// All of them must match, unlike the values of other criteria.
    public var fields: [FieldPattern]?
    /// Of the response to a request. Only with ``Action/reject``: when there is a response, everything else has been done.
    public var contentTypes: [ContentTypePattern]?
    /// When it counts, by the wall clock.
    public var times: WeekTimes?
    public var transport: TransportProtocol?
    /// Whether the session bears a name.
    public var isNamed: Bool?
    public var action: Action
    /// How requests are rejected, with ``Action/reject``; nil: with a page of ours, 403.
    public var rejection: Rejection?

    public init(action: Action) { self.action = action }

    /// False: a criterion has no values, or a session without a name would have to bear a certain one, so that no session matches.
    public var canMatch: Bool {
        !(isNamed == false && domains != nil) && domains?.isEmpty != true && destinations?.isEmpty != true
            && ports?.isEmpty != true && clients?.isEmpty != true && listeners?.isEmpty != true && users?.isEmpty != true
            && methods?.isEmpty != true && paths?.isEmpty != true && urls?.isEmpty != true && fields?.isEmpty != true
            && contentTypes?.isEmpty != true
    }

    /// It asks something of requests of HTTP, and so matches nothing else.
    public var asksForRequest: Bool {
        methods != nil || paths != nil || urls != nil || fields != nil || contentTypes != nil
    }
}

/// What is known of a session when it is judged.
public struct Query: Sendable {
    public var listener: String
    /// nil: unknown, so no rule that asks for one matches.
    public var client: IPAddress?
    /// nil: only the name is known, so no rule that asks for an address matches.
    public var destination: IPAddress?
    public var port: UInt16
    public var transport: TransportProtocol
    /// The sniffed or requested name, if there is one.
    public var name: DomainName?
    /// False: anybody could say so, and by such a name nothing is allowed; rules that reject count.
    public var isNameVerified = true
    /// nil: nobody has said, so no rule that asks for one matches.
    public var user: String?
    /// nil: it is no request of HTTP, so no rule that asks something of one matches.
    public var request: RequestFacts?
    /// By the wall clock; nil: nobody has looked, so no rule that asks for it matches.
    public var minute: MinuteOfWeek?
    /// What the address that the request names is another spelling of; nil: it is meant as it stands.
    var namedAddress: IPAddress?

    public init(
        listener: String, client: IPAddress?, destination: IPAddress?, port: UInt16, transport: TransportProtocol = .tcp,
        name: DomainName? = nil, user: String? = nil
    ) {
        self.listener = listener
        self.client = client
        self.destination = destination
        self.port = port
        self.transport = transport
        self.name = name
        self.user = user
    }
}

/// What the policy said.
public struct Decision: Hashable, Sendable {
    public var action: Action
    /// The rule that decided, counted from 0; nil: none matched.
    public var rule: Int?

    public init(_ action: Action, rule: Int?) {
        self.action = action
        self.rule = rule
    }
}
