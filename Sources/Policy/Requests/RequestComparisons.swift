internal import TransparentSockets

/// What comparing one request with rules has taken so far, and what came of it. A request is judged several times, for each address of the
/// name that it is for, say: what was asked of it once is not asked again, and all that is asked has one budget.
struct RequestComparisons: Sendable {
    /// Of ``ComparisonBudget/all``; at nothing, whatever would be compared is taken for too long.
    var left = ComparisonBudget.all

    private enum Answer {
        case unknown, no, yes
    }

    /// Whose rules all of this is about: to others, their numbers mean nothing.
    private var policy: Policy?
    /// With what was asked last: the answers of rules hold for the same.
    private var circumstances: Circumstances?
    private var destination: IPAddress?
    /// The same is asked again, but perhaps for another destination: from here on it pays to keep what rules answer.
    private(set) var isRepeated = false
    /// Those that the request is for, of the hosts of rules' URLs, by their numbers (``HostNumbers``) in ascending order.
    var hosts: [UInt32] = []
    /// Whether all but its destination holds of each rule; behind these, what takes long to ask, by the numbers that ``Policy`` has given out,
    /// which depends on the request alone and the port that it goes to. Empty: nobody has asked for any.
    private var answers: [Answer] = []

    /// From here on that is asked.
    ///
    /// - Parameter dependsOnDestination: it names an address, which URLs of rules compare with the destination.
    /// - Returns: whether the same was asked last; else ``hosts`` are to be looked up.
    mutating func begin(_ next: Query, _ policy: Policy, dependsOnDestination: Bool) -> Bool {
        if let circumstances, self.policy === policy, circumstances.hold(for: next),
            !dependsOnDestination || destination == next.destination
        {
            isRepeated = true
            return true
        }
        isRepeated = false
        if self.policy !== policy {
            self.policy = policy
            left = ComparisonBudget.all
            answers = []
        } else if circumstances?.port != next.port {
            answers = []
        }
        if !answers.isEmpty {
            for rule in policy.rules.indices { answers[rule] = .unknown }
        }
        circumstances = Circumstances(next)
        destination = next.destination
        return false
    }

    /// Whether all but its destination holds of a rule; nil: nobody has asked.
    func known(ofRule number: Int) -> Bool? { answers.isEmpty ? nil : isYes(answers[number]) }

    mutating func learn(ofRule number: Int, _ holds: Bool) { set(number, holds) }

    /// What takes long, asked once.
    mutating func answer(_ number: Int, _ compare: (inout Int) -> Bool) -> Bool {
        let place = (policy?.rules.count ?? 0) + number
        if !answers.isEmpty, let known = isYes(answers[place]) { return known }
        let holds = compare(&left)
        set(place, holds)
        return holds
    }

    private func isYes(_ answer: Answer) -> Bool? {
        switch answer {
        case .unknown: nil
        case .no: false
        case .yes: true
        }
    }

    private mutating func set(_ place: Int, _ holds: Bool) {
        guard let policy else { return }
        if answers.isEmpty {
            answers = Array(repeating: .unknown, count: policy.rules.count + policy.costlyCount)
        }
        answers[place] = holds ? .yes : .no
    }
}

/// All that rules are asked about, but for the destination and what is the request's own.
private struct Circumstances {
    let listener: String
    let client: IPAddress?
    let port: UInt16
    let transport: TransportProtocol
    let name: DomainName?
    let isNameVerified: Bool
    let user: String?
    let minute: MinuteOfWeek?
    let response: ResponseFacts?

    init(_ query: Query) {
        listener = query.listener
        client = query.client
        port = query.port
        transport = query.transport
        name = query.name
        isNameVerified = query.isNameVerified
        user = query.user
        minute = query.minute
        response = query.request?.response
    }

    func hold(for query: Query) -> Bool {
        port == query.port && transport == query.transport && isNameVerified == query.isNameVerified && client == query.client
            && minute == query.minute && name == query.name && user == query.user && listener == query.listener
            && response == query.request?.response
    }
}
