-- Keeps a cooldown and tells it to whoever listens. A later end wins.
--
-- KEYS: cooldowns
-- ARGV: replica, place, milliseconds, refused (0 or 1), channel

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local till = now + tonumber(ARGV[3])
local known = redis.call('HGET', KEYS[1], ARGV[2])
if not known or tonumber(string.match(known, ' (%d+) ')) < till then
    redis.call('HSET', KEYS[1], ARGV[2], string.format('%d %d %d', now, till, tonumber(ARGV[4])))
    redis.call('PEXPIRE', KEYS[1], 86400000)
end
redis.call('PUBLISH', ARGV[5], cjson.encode({ ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]) }))
return 1
