import Configuration
import Testing

/// What `text` is refused with, one `LINE:COLUMN: message` each; empty when it is good.
func findings(_ text: String) -> [String] {
    do {
        _ = try Configuration(parsing: text, file: "t.toml")
        return []
    } catch {
        return error.diagnostics.map { "\($0.line):\($0.column): \($0.message)" }
    }
}

/// A listener that is complete, for tests of one key more.
func listener(_ lines: String) -> String { "[[listener]]\nlocal = true\n\(lines)" }
