import Testing

@testable import Policy

@Suite struct WeekTimesTests {
    private func times(_ entries: String...) throws -> WeekTimes { WeekTimes(try entries.map { try WeekTimes.Entry($0) }) }

    @Test func daysAndHours() throws {
        let rows: [(WeekTimes, [String], [String])] = [
            (
                try times("Mon-Fri 08:00-18:00"), ["Mon 08:00", "Wed 12:00", "Fri 17:59"],
                ["Mon 07:59", "Mon 18:00", "Sat 12:00", "Sun 12:00"]
            ),
            (
                try times("22:00-06:00"), ["Mon 22:00", "Tue 05:59", "Sun 23:59", "Mon 00:00", "Mon 05:59"],
                ["Mon 06:00", "Sun 21:59"]
            ),
            (try times("Sun 22:00-06:00"), ["Sun 22:00", "Mon 05:59"], ["Mon 06:00", "Sun 21:59", "Mon 22:00", "Tue 00:00"]),
            (try times("Fri-Mon"), ["Fri 00:00", "Sat 12:00", "Mon 23:59"], ["Tue 00:00", "Thu 23:59"]),
            (try times("sat,SUN 10:00-12:00", "Tue"), ["Sat 10:00", "Sun 11:59", "Tue 13:00"], ["Sat 12:00", "Mon 11:00"]),
            (try times("Mon 18:00-24:00"), ["Mon 23:59"], ["Tue 00:00", "Mon 17:59"]),
            (try times("Mon-Sun"), ["Mon 00:00", "Sun 23:59"], []),
            (try times("00:00-24:00"), ["Mon 00:00", "Sun 23:59"], []),
        ]
        for (times, yes, no) in rows {
            for text in yes { #expect(times.contains(try #require(MinuteOfWeek(text))), "\(text)") }
            for text in no { #expect(!times.contains(try #require(MinuteOfWeek(text))), "\(text)") }
        }
        let (days, hours) = (try times("Mon-Sun"), try times("00:00-24:00"))
        #expect(days == hours)
    }

    @Test func whatIsNoTime() {
        let rows: [(String, WeekTimes.Entry.Fault)] = [
            ("", .form), ("Mon Fri", .form), ("Mon-", .day("")), ("Montag", .day("Montag")), ("Mon 8:00-9:00", .form),
            ("Mon 08:00", .form), ("Mon 08:60-09:00", .form), ("Mon 24:00-25:00", .form), ("Mon 24:00-01:00", .form),
            ("Mon 08:00-08:00", .empty), ("Mon-Tue-Wed", .form), ("Mon,,Tue", .day("")), ("08:00-09:00 Mon", .form),
            ("Mon 08:00-09:00 x", .form), ("Mon 08:00-24:01", .form), ("Mon +8:00-09:00", .form),
        ]
        for (text, fault) in rows { #expect(throws: fault, "\(text)") { try WeekTimes.Entry(text) } }
        for text in ["", "Mon", "12:00", "Mon 24:00", "Day 12:00", "Mon 12:00 x"] { #expect(MinuteOfWeek(text) == nil, "\(text)") }
        #expect(
            MinuteOfWeek(day: 7, hour: 0, minute: 0) == nil
                && MinuteOfWeek(day: 6, hour: 23, minute: 59)?.description == "Sun 23:59")
    }

    @Test func rulesCountWhenTheyShould() throws {
        var rule = Rule(action: .reject)
        rule.times = try times("Mon-Fri 08:00-18:00")
        let policy = Policy([rule])
        #expect(policy.asksForTime && !Policy([Rule(action: .reject)]).asksForTime)
        for transport in TransportProtocol.allCases {
            var query = Query(listener: "lan", client: nil, destination: nil, port: 53, transport: transport)
            #expect(policy.decide(query).action == .direct)
            query.minute = MinuteOfWeek("Mon 08:00")
            #expect(policy.decide(query).action == .reject)
            query.minute = MinuteOfWeek("Sun 08:00")
            #expect(policy.decide(query).action == .direct)
        }
    }

    @Test func shadows() throws {
        func rule(_ entries: String...) throws -> Rule {
            var rule = Rule(action: .reject)
            if !entries.isEmpty { rule.times = WeekTimes(try entries.map { try WeekTimes.Entry($0) }) }
            return rule
        }
        func shadowed(_ rules: Rule...) -> [Int] { Policy(rules).shadowed.map(\.rule) }
        #expect(shadowed(try rule("Mon-Fri"), try rule("Tue 10:00-11:00", "Fri 22:00-24:00")) == [1])
        #expect(shadowed(try rule("Mon-Fri"), try rule("Fri 22:00-06:00")) == [])
        #expect(shadowed(try rule("Mon-Fri"), try rule()) == [])
        #expect(shadowed(try rule(), try rule("Mon")) == [1])
    }
}
