internal import Policy
internal import SystemPackage
internal import TransparentSockets

// How a session reaches its upstream.

extension Session {
    /// Connects to `upstream` and waits for the answer. The socket is watched from the start: its first edge is the answer.
    ///
    /// - Returns: nil when connected, else how the session ends.
    func dial(_ upstream: UpstreamAddress, _ options: DialOptions, until deadline: UInt64) async -> Ending? {
        isDialledPlainly = options == dialOptions
        let used = isDialledPlainly ? worker.sockets.take(isIPv6: upstream.value.address.isIPv6) : nil
        let isWatched = used != nil
        do throws(SocketError) {
            if let used {
                _ = try redial(used.raw, to: upstream)
                adopt(used, dialledTo: upstream)
            } else {
                adopt(try TransparentSockets.dial(upstream, options).release(), dialledTo: upstream)
            }
        } catch {
            return failure(error)
        }
        return await connected(until: deadline, isWatched: isWatched)
    }

    var dialOptions: DialOptions {
        var options = DialOptions()
        options.mark = worker.settings.mark
        options.delaysAcknowledgement = true
        return options
    }

    /// For a direct destination, which may see the client's own address.
    var directOptions: DialOptions {
        var options = dialOptions
        options.source =
            switch settings.preservedSource {
            case .off: .unspecified
            case .address: .address(client.value.address)
            case .addressAndPort: .addressAndPort(client.value)
            }
        return options
    }

    /// How a failed connect ends the session; what only an operator can mend is reported as well.
    func failure(_ error: SocketError) -> Ending {
        let isConnect = error.call.hasPrefix("connect")
        cause = .call(error)
        switch error.errno {
        case .connectionRefused: return .upstreamRefused
        case .connectionReset, .brokenPipe: return .upstreamReset
        case .networkUnreachable, .hostIsDown, .noRouteToHost: return .upstreamUnreachable
        case .timedOut: return .upstreamTimeout
        case _ where error.isOfThisHost:
            worker.sockets.empty()
            return report(.proxyLimit, "\(error)", cause)
        // ICMP answers that firewalls and routers send in place of the plain ones.
        case .permissionDenied where isConnect, .protocolError where isConnect, .protocolNotAvailable where isConnect,
            .notSupportedOnSocket where isConnect:
            return .upstreamUnreachable
        default: return report(.proxyError, "\(error)", cause)
        }
    }
}

extension SocketError {
    /// This host has run out of something: the peer has no part in it.
    var isOfThisHost: Bool {
        switch errno {
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noBufferSpace, .noMemory, .addressNotAvailable,
            .resourceTemporarilyUnavailable:
            true
        default: false
        }
    }
}

extension UpstreamGroup {
    /// How to leave through an exit.
    ///
    /// - Parameter plain: what else is wanted of the socket.
    /// - Returns: nil when the exit has no source of the destination's family: it must not be the kernel that chooses one.
    func options(_ plain: DialOptions, for client: IPAddress, to destination: IPAddress) -> DialOptions? {
        var options = plain
        if let sources {
            guard let source = sources.source(for: client, to: destination) else { return nil }
            options.source = .own(source)
        }
        options.device = settings.exit?.device
        options.mark = settings.exit?.mark ?? options.mark
        return options
    }
}
