/// What a rule asks of requests and their responses, in a form that answers fast. An object, so that rules that ask for nothing of the kind,
/// which may be many, are no larger for it.
final class RequestCriteria: Sendable {
    private let methods: Set<String>?
    private let patterns: [PathPattern]?
    /// The same, in a form that answers fast.
    private let paths: PathTable<Void>?
    private let urls: URLSet?
    private let fields: [FieldPattern]?
    private let budget: ComparisonBudget
    private let contentTypes: [ContentTypePattern]?
    private let isReject: Bool
    /// What is asked of fields takes long.
    private let number: Int?

    /// - Parameters:
    ///   - hosts: of the URLs of all rules.
    ///   - budget: of all rules.
    ///   - costly: numbers of what takes long (``RequestComparisons``) that are given out already.
    init(_ rule: Rule, _ hosts: HostNumbers, _ budget: ComparisonBudget, _ costly: inout Int) {
        self.budget = budget
        methods = rule.methods.map { Set($0) }
        patterns = rule.paths
        paths = rule.paths.map { PathTable($0.map { (path: $0, value: ()) }) }
        urls = rule.urls.map { URLSet($0, hosts, budget, &costly) }
        fields = rule.fields
        contentTypes = rule.contentTypes
        isReject = rule.action == .reject
        number = rule.fields == nil ? nil : costly
        if number != nil { costly += 1 }
    }

    /// - Parameters:
    ///   - anyResponse: as if the response that is not known were the right one.
    ///   - comparisons: of the request.
    func match(_ query: Query, anyResponse: Bool, _ comparisons: inout RequestComparisons) -> Bool {
        guard let request = query.request?.written else { return false }
        if let methods, !methods.contains(request.method) { return false }
        if let paths, !matches(paths, request) { return false }
        if let urls, !urls.match(request, query, isReject: isReject, &comparisons) { return false }
        if let number, !comparisons.answer(number, { matches(request, &$0) }) { return false }
        guard let contentTypes, !anyResponse else { return true }
        guard let response = query.request?.response else { return false }
        return contentTypes.contains { $0.matches(response, &comparisons.left) }
    }

    private func matches(_ request: WrittenRequest, _ left: inout Int) -> Bool {
        for field in fields ?? [] {
            let mostOctets = budget.octets(ofField: field.foldedName)
            guard field.matches(request.fields, isReject: isReject, mostOctets: mostOctets, &left) else { return false }
        }
        return true
    }

    /// A path may mean another one to the server than to us: what is rejected, is so in either form; what is allowed, in both.
    private func matches(_ paths: PathTable<Void>, _ request: WrittenRequest) -> Bool {
        if request.isPathAmbiguous { return isReject }
        let isWritten = paths.contains(request.path) { _ in true }
        guard isWritten != isReject else { return isWritten }
        return paths.contains(request.resolvedPath) { _ in true }
    }

    /// Whether it is held wherever `other` is.
    func covers(_ other: RequestCriteria) -> Bool {
        if let methods { guard let theirs = other.methods, theirs.isSubset(of: methods) else { return false } }
        if let patterns {
            guard let theirs = other.patterns, theirs.allSatisfy({ path in patterns.contains { $0.covers(path) } }) else {
                return false
            }
            // Of one path the two may think differently: this one lets pass what the other would reject.
            guard isReject || !other.isReject else { return false }
        }
        if let urls {
            guard let theirs = other.urls, urls.covers(theirs), isReject || !other.isReject else { return false }
        }
        if let fields {
            guard let theirs = other.fields, fields.allSatisfy({ field in theirs.contains { field.covers($0) } }) else {
                return false
            }
            guard isReject || !other.isReject else { return false }
        }
        if let contentTypes {
            guard let theirs = other.contentTypes, theirs.allSatisfy({ type in contentTypes.contains { $0.covers(type) } }) else {
                return false
            }
        }
        return true
    }
}
