import TestSupport
import Testing

@testable import DataPlane

@Suite struct DeadlineQueueTests {
    @Test func theEarliestFirstWhateverTheOrder() throws {
        let loop = try EventLoop()
        var random = SplitMix(7)
        var queue = DeadlineQueue()
        let times = (0..<500).map { _ in UInt64.random(in: 0..<1_000, using: &random) }
        let bells = times.map { _ in Bell(loop) }
        for (bell, time) in zip(bells, times) { queue.add(bell, at: time) }
        var heard: [UInt64] = []
        for now in stride(from: UInt64(0), through: 1_000, by: 100) {
            while let bell = queue.next(now: now) { heard.append(times[try #require(bells.firstIndex { $0 === bell })]) }
            #expect(queue.due > now)
        }
        #expect(heard == times.sorted() && queue.due == .max)
    }
}
