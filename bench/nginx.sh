#!/bin/sh
# nginx.sh PORT DIRECTORY: nginx in the foreground, one worker, which answers /files/ from a directory. Its file of settings
# stands beside that, since nginx reads none from a pipe.
file=$(dirname "$2")/nginx-$1.conf
cat > "$file" <<END
daemon off;
user root;
pid $file.pid;
error_log stderr crit;
worker_processes 1;
events { }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    server {
        listen 127.0.0.1:$1 backlog=1024;
        location /files/ { alias $2/; }
    }
}
END
exec nginx -c "$file"
