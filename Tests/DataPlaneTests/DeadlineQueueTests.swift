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
        for (bell, time) in zip(bells, times) { queue.set(bell, at: time) }
        var heard: [UInt64] = []
        for now in stride(from: UInt64(0), through: 1_000, by: 100) {
            while let bell = queue.next(now: now) { heard.append(times[try #require(bells.firstIndex { $0 === bell })]) }
            #expect(queue.due > now)
        }
        #expect(heard == times.sorted() && queue.due == .max)
    }

    /// Each has one time, the last that was set, until it is taken out.
    @Test func timesChange() throws {
        let loop = try EventLoop()
        let bells = (0..<40).map { _ in Bell(loop) }
        var random = SplitMix(11)
        var queue = DeadlineQueue()
        var times: [Int: UInt64] = [:]
        for _ in 0..<5_000 {
            let index = Int.random(in: 0..<bells.count, using: &random)
            if Bool.random(using: &random) {
                let time = UInt64.random(in: 0..<1_000, using: &random)
                queue.set(bells[index], at: time)
                times[index] = time
            } else {
                queue.remove(bells[index])
                times[index] = nil
            }
            #expect(queue.count == times.count && queue.due == times.values.min() ?? .max)
        }
        var heard: [UInt64] = []
        while let bell = queue.next(now: 1_000) {
            heard.append(try #require(bells.firstIndex { $0 === bell }.flatMap { times[$0] }))
        }
        #expect(heard == times.values.sorted())
    }
}
