-- Takes one request's part of strict limits, or says how long there is no room for it. Both windows slide over the last
-- minute in buckets of one second of this server's clock. The second that is only partly gone counts, so that what is
-- admitted never passes a limit in any 60 seconds; and so does the one before, so that the same is true where the
-- requests arrive, if some are a second longer on their way than others.
--
-- KEYS: strict:SUBJECT
-- ARGV: limit on requests, limit on tokens (-1: none), tokens
-- Returns the second it is booked in, or minus the milliseconds to wait for; and which limit (1: requests, 2: tokens).

local time = redis.call('TIME')
local second, millisecond = tonumber(time[1]), math.floor(tonumber(time[2]) / 1000)
local limits = { r = tonumber(ARGV[1]), t = tonumber(ARGV[2]) }
local amounts = { r = 1, t = tonumber(ARGV[3]) }
local sums, buckets = { r = 0, t = 0 }, { r = {}, t = {} }
local flat = redis.call('HGETALL', KEYS[1])
for place = 1, #flat, 2 do
    local kind, at = string.sub(flat[place], 1, 1), tonumber(string.sub(flat[place], 2))
    if at < second - 61 or at > second then
        redis.call('HDEL', KEYS[1], flat[place])
    else
        sums[kind] = sums[kind] + tonumber(flat[place + 1])
        table.insert(buckets[kind], { at, tonumber(flat[place + 1]) })
    end
end

local wait, short = 0, 0
for number, kind in ipairs({ 'r', 't' }) do
    local over = sums[kind] + math.min(amounts[kind], limits[kind]) - limits[kind]
    if limits[kind] >= 0 and over > 0 then
        table.sort(buckets[kind], function(one, other) return one[1] < other[1] end)
        local frees = 62000
        for _, bucket in ipairs(buckets[kind]) do
            over = over - bucket[2]
            if over <= 0 then
                frees = (bucket[1] + 62 - second) * 1000 - millisecond
                break
            end
        end
        if frees > wait then
            wait, short = frees, number
        end
    end
end
if short > 0 then
    return { -wait, short }
end
for _, kind in ipairs({ 'r', 't' }) do
    if limits[kind] >= 0 then
        redis.call('HINCRBY', KEYS[1], kind .. second, amounts[kind])
    end
end
redis.call('PEXPIRE', KEYS[1], 62000)
return { second, 0 }
