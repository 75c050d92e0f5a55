-- A replica goes, and says so: its lease and its trials end now. What it has used of the limits counts on.
--
-- KEYS: replicas, trials
-- ARGV: replica

local text = redis.call('HGET', KEYS[1], ARGV[1])
if text then
    local record = string.gsub(text, '^(%[%d+,%d+,)0', '%11')
    redis.call('HSET', KEYS[1], ARGV[1], record)
end
local trials = redis.call('HGETALL', KEYS[2])
for place = 1, #trials, 2 do
    if string.match(trials[place + 1], '^(.*) %d+$') == ARGV[1] then
        redis.call('HDEL', KEYS[2], trials[place])
    end
end
return 1
