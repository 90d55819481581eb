"""The smallest handler of Tornado's: 13 bytes with a type; Tornado adds the length, and an Etag."""

import tornado.web


class Hello(tornado.web.RequestHandler):
    def get(self):
        self.set_header("Content-Type", "text/plain")
        self.write("Hello, World!")


app = tornado.web.Application([("/", Hello)])
