internal import CSockets
internal import Glibc
internal import TransparentSockets

// A proxy with several addresses: Happy Eyeballs (RFC 8305) without its resolver, which runs elsewhere.

/// Nanoseconds that an address has for itself before the next one is tried beside it.
private let headStart: UInt64 = 250_000_000

extension Session {
    /// Connects to the first of `addresses` that answers. Where descriptors become few, no address is tried beside another: a client
    /// whose name leads to eight hosts that are silent must not take nine descriptors for each session.
    ///
    /// - Returns: nil when connected, else how the session ends.
    func race(to addresses: [(address: UpstreamAddress, options: DialOptions)], until deadline: UInt64) async -> Ending? {
        isDialledPlainly = addresses.allSatisfy { $0.options == dialOptions }
        var rivals: [(raw: Int32, address: UpstreamAddress)] = []
        var besides = 0
        defer {
            for rival in rivals { _ = cs_close(rival.raw) }
            worker.endRivals(besides)
        }
        var next = 0
        var nextAt = worker.loop.now
        var last = Ending.upstreamTimeout
        while true {
            while next < addresses.count, rivals.isEmpty || nextAt <= worker.loop.now {
                if !rivals.isEmpty {
                    guard worker.beginRival() else {
                        nextAt = worker.loop.now + headStart
                        break
                    }
                    besides += 1
                }
                let (address, options) = addresses[next]
                next += 1
                do throws(SocketError) {
                    let socket = try TransparentSockets.dial(address, options).release()
                    guard watch(upstream: socket.raw) else { return .proxyLimit }
                    rivals.append((socket.release(), address))
                    nextAt = worker.loop.now + headStart
                } catch {
                    last = failure(error)
                    if last.isOurs, rivals.isEmpty { return last }
                }
            }
            guard !rivals.isEmpty else { return last }
            if let ended = await wait(.racing, until: next < addresses.count ? min(nextAt, deadline) : deadline) { return ended }
            if let winner = winner(of: &rivals, &last) {
                adopt(Descriptor(owning: winner.raw), dialledTo: winner.address)
                // What becomes of the losers must not be taken for news of the winner.
                for rival in rivals { _ = cs_close(rival.raw) }
                rivals = []
                forgetUpstreamEvents()
                // Edges were told to the race, not of this socket: they are asked for again.
                return await connected(until: deadline, isWatched: true)
            }
            guard worker.loop.now < deadline else { return .upstreamTimeout }
            if rivals.isEmpty { nextAt = worker.loop.now }
        }
    }

    /// Takes out the first that is connected, and those that failed.
    private func winner(
        of rivals: inout [(raw: Int32, address: UpstreamAddress)], _ last: inout Ending
    ) -> (raw: Int32, address: UpstreamAddress)? {
        var entries = rivals.map { pollfd(fd: $0.raw, events: Int16(POLLOUT), revents: 0) }
        guard poll(&entries, nfds_t(entries.count), 0) > 0 else { return nil }
        for (index, entry) in entries.enumerated().reversed() where entry.revents != 0 {
            guard let error = connectionError(entry.fd) else { continue }
            last = failure(SocketError(call: "connect", errno: error))
            _ = cs_close(entry.fd)
            rivals.remove(at: index)
        }
        guard let index = entries.firstIndex(where: { $0.revents != 0 && $0.revents & Int16(POLLERR | POLLHUP) == 0 }),
            let place = rivals.firstIndex(where: { $0.raw == entries[index].fd })
        else { return nil }
        return rivals.remove(at: place)
    }
}
