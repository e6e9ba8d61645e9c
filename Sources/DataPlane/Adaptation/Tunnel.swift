// Behind a response that changes the protocol, nothing is looked at any more.

extension AdaptedExchange {
    /// Carries bytes both ways, until both sides have ended.
    func tunnel() async throws(AdaptationFault) {
        pumps = []
        let ways = [(from: relay, to: server), (from: server, to: relay)]
        var ended = [false, false]
        var deadline = UInt64.max
        while ended != [true, true] {
            // The client is gone: what it has said last is handed on, and what the server might still say, nobody hears.
            if relay.socket.isGone {
                guard !ended[0] else { return }
                if deadline == .max { deadline = worker.loop.now &+ settings.timeout }
            }
            var isNews = false
            for (index, way) in ways.enumerated() where !ended[index] {
                if way.to.hasRoom, try way.from.fill() { isNews = true }
                if !way.from.input.isEmpty {
                    way.to.output += way.from.input
                    way.from.consume(way.from.input.count)
                }
                if try way.to.flush() { isNews = true }
                guard !way.to.isDeaf else { return }
                if way.from.hasEnded, way.to.unsent == 0 {
                    way.to.socket.end()
                    ended[index] = true
                    isNews = true
                }
            }
            if isNews {
                await share()
            } else {
                guard await bell.wait(until: deadline) else { return }
            }
        }
    }
}
