internal import Configuration
internal import DataPlane
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

    /// - Parameter ipv6: false on a host without IPv6.
    init(_ configuration: Configuration, ipv6: Bool) {
        for listener in configuration.listeners {
            let mode: InterceptionMode = listener.mode == .tproxy ? .tproxy : .redirect
            let preserved: PreservedSource =
                switch listener.preserveSource {
                case .off: .off
                case .address: .address
                case .addressAndPort: .addressAndPort
                }
            for address in listener.listen.flatMap({ Self.sockets($0, ipv6: ipv6) }) {
                let key = ListenerKey(address: address, mode: mode)
                keys.append(key)
                settings[key] = ListenerSettings(name: listener.name, preservedSource: preserved)
            }
        }
    }

    /// `[::]` is two sockets, one for each family: IPv4 connections of an IPv6 socket cost more.
    private static func sockets(_ address: ListenAddress, ipv6: Bool) -> [ListenAddress] {
        guard address.value.address.isIPv6, address.value.address.isUnspecified else { return [address] }
        let ipv4 = ListenAddress(SocketAddress(.v4(IPv4Address(bits: 0)), port: address.value.port))
        return ipv6 ? [ipv4, address] : [ipv4]
    }

    var addresses: [ListenAddress] { keys.map(\.address) }

    /// The same sockets with the settings of `self`, by address, for those that `old` has already.
    func kept(from old: ListenerPlan) -> [ListenAddress: ListenerSettings] {
        var kept: [ListenAddress: ListenerSettings] = [:]
        for key in keys where old.settings[key] != nil { kept[key.address] = settings[key] }
        return kept
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
