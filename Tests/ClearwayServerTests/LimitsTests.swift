import Testing

@testable import ClearwayServer

@Suite struct LimitsTests {
    @Test(arguments: [(64, 1), (1_024, 1), (1_024, 8), (20_000, 2), (1_048_576, 64)])
    func whatIsAllowedFits(_ descriptors: Int, _ workers: Int) throws {
        let limits = try #require(Limits(descriptors: descriptors, workers: workers, listeners: 2, wanted: 0))
        #expect(limits.sessions >= workers)
        let kept = 2 * limits.keptSockets * workers
        #expect(2 * limits.sessions + 2 * limits.pipes + kept + Limits.reserve + workers * 10 <= descriptors)
    }

    @Test func moreThanFitsIsCut() throws {
        let limits = try #require(Limits(descriptors: 1_024, workers: 1, listeners: 1, wanted: 1_000_000))
        #expect(limits.sessions < 512)
        #expect(Limits(descriptors: 1_024, workers: 1, listeners: 1, wanted: 100)?.sessions == 100)
    }

    /// Flows by themselves, and half of them with the connections of proxies.
    @Test(arguments: [(1_024, 1, 0), (1_024, 8, 1_000_000), (20_000, 2, 0), (20_000, 4, 1), (1_048_576, 64, 10_000)])
    func flowsFit(_ descriptors: Int, _ workers: Int, _ wanted: Int) throws {
        let limits = try #require(Limits(descriptors: descriptors, workers: workers, listeners: 2, wanted: 0, wantedFlows: wanted))
        let ofOne = limits.flows / workers
        let flows = workers * (ofOne + max(ofOne / 2, 1))
        let kept = 2 * limits.keptSockets * workers
        #expect(limits.sessions >= workers && ofOne >= 1)
        #expect(flows + 2 * limits.sessions + 2 * limits.pipes + kept + Limits.reserve + workers * 10 <= descriptors)
    }

    /// Each worker has flows of its own.
    @Test func noWorkerIsWithoutFlows() {
        #expect(Limits(descriptors: 20_000, workers: 4, listeners: 1, wanted: 0, wantedFlows: 1)?.flows == 4)
        #expect(Limits(descriptors: 20_000, workers: 4, listeners: 1, wanted: 0, wantedFlows: 5)?.flows == 5)
    }

    @Test func tooFewIsSaid() {
        #expect(Limits(descriptors: 32, workers: 1, listeners: 1, wanted: 0) == nil)
        #expect(Limits(descriptors: 64, workers: 64, listeners: 1, wanted: 0) == nil)
    }
}
