/// Every key, and every way of writing one.
let fullSample = """
    # A gateway — 例
    workers = 2
    "max_sessions" = 5_000
    relay = 'splice'
    log = { level = "debug", format = "json", 'file' = "/var/log/clearway.log", access = false }

    [timeouts]
    connect = "300ms"
    idle = '''
    0s'''
    half_close = \"""\\
        5m\"""
    drain = "\\u0032h"

    [firewall]
    manage = false
    on_down = "reject"
    table = "my_table"
    priority = "mangle - 5"
    mark = 0x1000000
    route_table = 7100

    #---------------------------------
    # The network behind us
    #---------------------------------
    [[listener]]
    name = "lan"
    mode = "tproxy"
    listen = [   # "[::]:1081" would do
        "192.0.2.1:1081",
        "[2001:db8::1]:1081",
    ]
    protocols = ["tcp"]
    interfaces = ["eth1", "br-*"]
    local = false
    ports = [80, "443", "8000-8999", "8500-9100",]
    destinations = "203.0.113.0/24"
    exclude = ["203.0.113.7", "2001:db8::/32"]
    clients = ["10.1.0.0/16"]
    preserve_source = "address+port"

    [[listener]]
    name = "guests"
    listen = "0.0.0.0:1082"
    interfaces = "wlan0"
    preserve_source = "address"

    [[listener]]
    mode = "redirect"
    listen = "[::]:1083"
    local = true
    ports = 443

    """
