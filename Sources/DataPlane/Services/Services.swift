/// What one worker has of services that requests are shown to: made when they are needed first, and kept as long as a listener names
/// them.
struct Services {
    private var authorizers: [ObjectIdentifier: (settings: AuthorizationSettings, authorizer: Authorizer)] = [:]

    /// - Parameter routes: those that came with the settings.
    mutating func authorizer(_ settings: AuthorizationSettings, _ routes: Routes, _ worker: Worker) -> Authorizer? {
        // The settings are kept beside it: as long as they are, nobody else has their identity.
        if let known = authorizers[ObjectIdentifier(settings)] { return known.authorizer }
        guard routes.upstreams.indices.contains(settings.upstream),
            let member = routes.upstreams[settings.upstream].members.first
        else { return nil }
        let authorizer = Authorizer(settings, member, worker)
        authorizers[ObjectIdentifier(settings)] = (settings, authorizer)
        return authorizer
    }

    private var icap: [ICAPKey: (settings: ICAPSettings, service: ICAPService)] = [:]
    private struct ICAPKey: Hashable {
        let settings: ObjectIdentifier
        let upstream: Int
    }

    /// - Returns: nil: messages of that kind are shown to nobody.
    mutating func icap(
        _ settings: ICAPSettings, _ service: ICAPSettings.Service?, _ routes: Routes, _ worker: Worker
    ) -> ICAPService? {
        guard let service else { return nil }
        let key = ICAPKey(settings: ObjectIdentifier(settings), upstream: service.upstream)
        if let known = icap[key] { return known.service }
        guard routes.upstreams.indices.contains(service.upstream),
            let member = routes.upstreams[service.upstream].members.first
        else { return nil }
        let made = ICAPService(settings, service, member, worker)
        icap[key] = (settings, made)
        return made
    }

    /// After a reload: sessions that are older than that make theirs anew.
    mutating func reloaded() {
        authorizers = [:]
        icap = [:]
    }
}
