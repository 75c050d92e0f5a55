-- Books what was let through without an answer, whether or not there is room for it. Once: whoever has had no answer to
-- this either asks again under the same name.
--
-- KEYS: strict:SUBJECT, booked:NAME
-- ARGV: how many seconds ago it was, requests, tokens
-- Returns the second it is booked in.

local second = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[1])
if not redis.call('SET', KEYS[2], second, 'NX', 'PX', 62000) then
    return tonumber(redis.call('GET', KEYS[2]))
end
redis.call('HINCRBY', KEYS[1], 'r' .. second, ARGV[2])
redis.call('HINCRBY', KEYS[1], 't' .. second, ARGV[3])
redis.call('PEXPIRE', KEYS[1], 62000)
return second
