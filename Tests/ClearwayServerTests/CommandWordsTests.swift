import ClearwayServer
import Testing

@Suite struct CommandWordsTests {
    @Test(arguments: [
        ("exec cmd", 2), ("exec -- cmd", 3), ("exec -v cmd -v", 3), ("exec -v --verbose -- -x y", 5), ("exec -- --", 3),
        ("exec -c FILE --upstream URL cmd", 6), ("exec --config FILE -- cmd", 5), ("exec --config=FILE --upstream=URL cmd -- a", 4),
        ("exec -c exec exec exec", 4), ("exec cmd --help", 2),
    ])
    func theCommandBeginsBehindTheOptions(line: String, beginning: Int) {
        #expect(CommandWords.beginning(in: ["clearway"] + line.split(separator: " ").map(String.init)) == beginning)
    }

    @Test(arguments: [
        "", "exec", "exec --", "exec -v", "exec -c", "exec --upstream", "exec --help", "exec -h cmd", "exec --nonsense cmd",
        "exec - cmd",
        "exec -c -- cmd", "exec --upstream -v cmd", "exec -vc FILE cmd", "run -- exec cmd", "--help exec cmd",
    ])
    func theParserJudgesTheRest(line: String) {
        #expect(CommandWords.beginning(in: ["clearway"] + line.split(separator: " ").map(String.init)) == nil)
    }

    @Test func anEmptyWordIsACommand() {
        #expect(CommandWords.beginning(in: ["clearway", "exec", "", "x"]) == 2)
        #expect(CommandWords.beginning(in: []) == nil)
    }
}
