internal import Configuration
internal import Credentials
internal import DataPlane
internal import Firewall
internal import Policy
internal import SystemPackage
internal import TransparentSockets

/// A socket to bind: what has to be equal for a listener to be kept over a reload.
struct ListenerKey: Hashable {
    var address: ListenAddress
    var mode: InterceptionMode
}

/// Which sockets a configuration wants, and the difference that a reload makes.
struct ListenerPlan {
    var settings: [ListenerKey: ListenerSettings] = [:]
    /// In the order of the configuration.
    var keys: [ListenerKey] = []
    /// The same of sockets for UDP, all of which are transparent.
    var datagramSettings: [ListenAddress: ListenerSettings] = [:]
    var datagramAddresses: [ListenAddress] = []

    /// - Parameters:
    ///   - ipv6: false on a host without IPv6.
    ///   - authenticator: needed where a listener has users and is to be served.
    init(_ configuration: Configuration, ipv6: Bool, _ authenticator: Authenticator? = nil) {
        let scanners = configuration.scanners
        for (number, listener) in configuration.listeners.enumerated() {
            // A socket that is not transparent: for redirected connections, and for those that mean us.
            let mode: InterceptionMode = listener.mode == .tproxy ? .tproxy : .redirect
            let service = Service(listener, authenticator)
            let preserved: PreservedSource =
                switch listener.preserveSource {
                case .off: .off
                case .address: .address
                case .addressAndPort: .addressAndPort
                }
            var own = ListenerSettings(
                name: listener.name, preservedSource: preserved, service: service,
                filtering: listener.filtering == .endpointIndependent ? .endpointIndependent : .addressDependent)
            let authorization = configuration.authorization(ofListener: number)
            let icap = listener.icap.map { scanners[$0] }
            if let origin = configuration.originIndex(ofListener: number) {
                own.service = nil
                own.http = HTTPSettings(listener, authorization, icap, origin: origin, login: service?.login)
            } else if service?.servesHTTP == true || listener.http {
                own.http = HTTPSettings(listener, authorization, icap)
            }
            for address in listener.listen.flatMap({ Self.sockets($0, ipv6: ipv6) }) {
                if listener.protocols.contains(.tcp) {
                    let key = ListenerKey(address: address, mode: mode)
                    keys.append(key)
                    settings[key] = own
                }
                // Those who are served ask for UDP by TCP.
                if listener.protocols.contains(.udp), service == nil {
                    datagramAddresses.append(address)
                    datagramSettings[address] = own
                }
            }
        }
    }

    /// `[::]` is two sockets, one for each family: IPv4 connections of an IPv6 socket cost more.
    static func sockets(_ address: ListenAddress, ipv6: Bool) -> [ListenAddress] {
        guard address.value.address.isIPv6, address.value.address.isUnspecified else { return [address] }
        let ipv4 = ListenAddress(SocketAddress(.v4(IPv4Address(bits: 0)), port: address.value.port))
        return ipv6 ? [ipv4, address] : [ipv4]
    }

    var addresses: [ListenAddress] { keys.map(\.address) + datagramAddresses }
    /// Sockets of each worker.
    var count: Int { keys.count + datagramAddresses.count }

    /// The same sockets with the settings of `self`, by address, for those that `old` has already.
    func kept(from old: ListenerPlan) -> [ListenAddress: ListenerSettings] {
        var kept: [ListenAddress: ListenerSettings] = [:]
        for key in keys where old.settings[key] != nil { kept[key.address] = settings[key] }
        return kept
    }

    func keptDatagrams(from old: ListenerPlan) -> [ListenAddress: ListenerSettings] {
        datagramSettings.filter { old.datagramSettings[$0.key] != nil }
    }
}

/// Binds what is new, one socket per worker, all of it or nothing.
///
/// - Returns: for each worker the sockets it is to serve.
func bind(
    _ plan: ListenerPlan, except old: ListenerPlan?, workers: Int, mark: UInt32
) throws(Failure) -> [[NewListener]] {
    var bound: [[NewListener]] = Array(repeating: [], count: workers)
    for key in plan.keys where old?.settings[key] == nil {
        let settings = plan.settings[key]!
        var options = ListenerOptions(mode: key.mode)
        options.delaysAcknowledgement = true
        options.mark = mark
        options.ipv6Only = true
        options.sharesPort = workers > 1
        do throws(SocketError) {
            if options.sharesPort { try TransparentListener.checkFree(key.address, options) }
            for worker in 0..<workers {
                bound[worker].append(NewListener(try TransparentListener(key.address, options), settings))
            }
        } catch {
            throw failure(error, key, settings.name, old)
        }
    }
    return bound
}

/// The same of the sockets for UDP.
func bindDatagrams(
    _ plan: ListenerPlan, except old: ListenerPlan?, workers: Int, mark: UInt32, batch: Int
) throws(Failure) -> [[NewDatagramListener]] {
    var bound: [[NewDatagramListener]] = Array(repeating: [], count: workers)
    var options = DatagramOptions()
    options.mark = mark
    options.sharesPort = workers > 1
    options.takesBursts = batch > 1
    // What comes while a worker serves others: 4 MiB hold 5,000 datagrams of whatever size, as the kernel counts.
    options.receiveBuffer = 4 << 20
    for address in plan.datagramAddresses where old?.datagramSettings[address] == nil {
        let settings = plan.datagramSettings[address]!
        do throws(SocketError) {
            if options.sharesPort { try TransparentDatagramSocket.checkFree(address) }
            for worker in 0..<workers {
                bound[worker].append(NewDatagramListener(try TransparentDatagramSocket(address, options), settings))
            }
        } catch {
            throw failure(error, ListenerKey(address: address, mode: .tproxy), settings.name, nil)
        }
    }
    return bound
}

private func failure(_ error: SocketError, _ key: ListenerKey, _ name: String, _ old: ListenerPlan?) -> Failure {
    if error.errno == .permissionDenied || error.errno == .notPermitted {
        let capability = key.address.value.port < 1_024 && error.call.hasPrefix("bind") ? "CAP_NET_BIND_SERVICE" : "CAP_NET_ADMIN"
        return Failure(.notPermitted, "listener \"\(name)\": \(error): needs \(capability)")
    }
    if error.errno == .addressInUse, let old, old.addresses.contains(key.address) {
        return Failure(.systemError, "listener \"\(name)\": the mode of \(key.address) can only change at a start")
    }
    return Failure(.systemError, "listener \"\(name)\": \(error)")
}

/// What this installation is called in HTTP's Via; without a machine-id(5), another name at each start.
private let ownNameInVia: String? = {
    var identity = fileText("/etc/machine-id").map { Array($0.utf8) } ?? []
    if identity.isEmpty { identity = (0..<16).map { _ in UInt8.random(in: 0...255) } }
    return installationName(identity)
}()

/// Whether this kernel speaks IPv6 at all.
func hasIPv6() -> Bool {
    let any = SocketAddress(.v6(IPv6Address(high: 0, low: 0)), port: 0)
    do throws(SocketError) {
        try TransparentListener.checkFree(ListenAddress(any), ListenerOptions(mode: .redirect))
        return true
    } catch {
        return error.errno != .addressFamilyNotSupported
    }
}

extension HTTPSettings {
    /// - Parameters:
    ///   - origin: the upstream of the listener's origins, if it has any.
    ///   - login: who must show a password to them.
    fileprivate convenience init(
        _ listener: Listener, _ authorization: AuthorizationSettings?, _ icap: ICAPSettings?, origin: Int? = nil,
        login: Service.Login? = nil
    ) {
        var clients = listener.clients.isEmpty ? nil : listener.clients
        // As for a service: without anybody to ask, nobody is served.
        if listener.users != nil, login == nil { clients = [] }
        self.init(
            relaysOthers: listener.mode.intercepts && listener.onOther == .relay, origin: origin,
            clients: origin == nil ? nil : clients, via: listener.via ? ownNameInVia : nil, authorization: authorization,
            icap: icap,
            requestChanges: listener.requestChanges, responseChanges: listener.responseChanges, login: login,
            realm: listener.realm ?? listener.name, addsXForwarded: listener.addsXForwarded, trusted: listener.trusted)
    }
}

extension Service {
    /// nil: connections are intercepted.
    convenience init?(_ listener: Listener, _ authenticator: Authenticator?) {
        let protocols: Protocols
        switch listener.mode {
        case .tproxy, .redirect: return nil
        case .socks: protocols = .socks
        case .http: protocols = .http
        case .socksAndHTTP: protocols = .both
        }
        var clients = listener.clients.isEmpty ? nil : listener.clients
        // A plan for counting only: whoever served it would serve nobody.
        if listener.users != nil, authenticator == nil { clients = [] }
        self.init(
            protocols, clients: clients, ports: listener.servedPorts, reach: listener.reach, servesBind: listener.servesBind,
            servesUDP: listener.protocols.contains(.udp),
            login: listener.users.flatMap { table in authenticator.map { Login(Users(table), $0) } })
    }
}
