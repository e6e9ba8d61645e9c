import Testing

extension Situations {
    /// Mail, SSH and databases: the client waits for the server's greeting and sends nothing before it.
    @Suite struct ServerSpeaksFirst {
        @Test(arguments: Variant.representative)
        func theGreetingArrives(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                try stage.server.send(server, "220 ready\r\n")
                #expect(try stage.client.receive(client, 11) == "220 ready\r\n")
                try stage.client.send(client, "QUIT\r\n")
                #expect(try stage.server.receive(server, 6) == "QUIT\r\n")
            }
        }
    }
}
