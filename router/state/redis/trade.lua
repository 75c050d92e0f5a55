-- Takes in one replica's batch, and returns the siblings' picture, both as JSON; the other side of it is wire.py.
-- What is kept, and for how long, is in docs/redis.md. Moments are milliseconds of this server's clock. What stems from
-- the future was written before that clock was set back, and is dropped.
--
-- What is not needed for every trade, ages and samples, is kept by itself, so that most of the work is one decoding of
-- what each sibling uses: as one flat list, and in MessagePack, which takes a quarter of the time of a mapping in JSON.
--
-- A replica's record is [at, turn, left, failing] in JSON, a line feed, and what it uses: subject, requests under way,
-- requests and tokens of the last minute, requests and tokens claimed, subject, …
--
-- KEYS: replicas, ages, samples, cooldowns, trials, recovered, spent, spent-at, spent-until, applied:REPLICA
-- ARGV: replica, batch, what of it goes into the record (failing, uses), then in milliseconds: lease, minute, trial lease,
--       trial offer, for how long a sequence is kept

local me, batch = ARGV[1], cjson.decode(ARGV[2])
local lease, minute, trial_lease, trial_offer, kept =
    tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local DAY = 86400000
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local pack, unpacked = cjson.encode, cjson.decode
if cmsgpack then
    pack, unpacked = cmsgpack.pack, cmsgpack.unpack
end

local function each(key)
    local flat, place = redis.call('HGETALL', key), -1
    return function()
        place = place + 2
        return flat[place], flat[place + 1]
    end
end

-- The replicas.

local siblings, newcomer, since, turn = {}, 1, 0, -1
for name, text in each(KEYS[1]) do
    local at, last = string.match(text, '^%[(%d+),(%d+),')
    at = tonumber(at)
    if at > now or now - at >= minute + lease then
        for number = 1, 3 do
            redis.call('HDEL', KEYS[number], name)
        end
    elseif name == me then
        newcomer, since, turn = 0, at, tonumber(last)
    else
        local line = string.find(text, '\n', 1, true)
        local told = cjson.decode(string.sub(text, 1, line - 1))
        local uses = unpacked(string.sub(text, line + 1))
        siblings[#siblings + 1] = { name = name, at = at, left = told[3] == 1, failing = told[4], uses = uses }
    end
end
if batch.turn >= turn then
    local record = string.format('[%d,%d,0,%s]\n', now, batch.turn, ARGV[3])
    redis.call('HSET', KEYS[1], me, record .. pack(cjson.decode(ARGV[4])))
    if batch.ages then
        redis.call('HSET', KEYS[2], me, cjson.encode({ now, batch.ages }))
    end
    if next(batch.samples) then
        redis.call('HSET', KEYS[3], me, now .. ' ' .. cjson.encode(batch.samples))
    end
    for number = 1, 3 do
        redis.call('PEXPIRE', KEYS[number], 2 * (minute + lease))
    end
    for _, backend in ipairs(batch.recovered) do
        redis.call('HSET', KEYS[6], backend, now .. ' ' .. me)
        redis.call('PEXPIRE', KEYS[6], DAY)
    end
end

local function alive(record)
    return not record.left and now - record.at < lease
end

-- What of `total` is still of the last minute: whole parts at a time, the youngest of each deciding.
local function rest(record, total, aged_at, ages)
    if now - record.at >= minute then
        return 0
    end
    local told, left = 0, 0
    for place, amount in ipairs(ages or {}) do
        told = told + amount
        if now - aged_at + (place - 1) * minute / #ages < minute then
            left = left + amount
        end
    end
    return left + math.max(total - told, 0)
end

local live, samples, all_in_flight, all_requests, all_tokens = 1, {}, {}, {}, {}
for _, record in ipairs(siblings) do
    local lives, aged_at, ages = alive(record), now, {}
    if lives then
        live = live + 1
    else
        aged_at, ages = unpack(cjson.decode(redis.call('HGET', KEYS[2], record.name) or '[0, {}]'))
    end
    local flat = record.uses
    for place = 1, #flat, 6 do
        local subject = flat[place]
        local in_flight, requests, tokens = flat[place + 1], flat[place + 2], flat[place + 3]
        if lives then
            requests, tokens = math.max(requests, flat[place + 4]), math.max(tokens, flat[place + 5])
        else
            local told = ages[subject] or {}
            in_flight = 0
            requests, tokens = rest(record, requests, aged_at, told[1]), rest(record, tokens, aged_at, told[2])
        end
        local known = all_in_flight[subject]
        if known then
            all_in_flight[subject] = known + in_flight
            all_requests[subject] = all_requests[subject] + requests
            all_tokens[subject] = all_tokens[subject] + tokens
        elseif in_flight ~= 0 or requests ~= 0 or tokens ~= 0 then
            all_in_flight[subject], all_requests[subject], all_tokens[subject] = in_flight, requests, tokens
        end
    end
end
local used, last = {}, 0
for subject, in_flight in pairs(all_in_flight) do
    used[last + 1], used[last + 2] = subject, in_flight
    used[last + 3], used[last + 4], last = all_requests[subject], all_tokens[subject], last + 4
end
for name, text in each(KEYS[3]) do
    local at, told = string.match(text, '^(%d+) (.*)$')
    if name ~= me and tonumber(at) >= since then
        for backend, sample in pairs(cjson.decode(told)) do
            samples[backend] = samples[backend] or {}
            table.insert(samples[backend], sample)
        end
    end
end

-- The deltas, once for each sequence.

local function set_spent(name, total)
    redis.call('HSET', KEYS[7], name, string.format('%.17g', total))
    redis.call('ZADD', KEYS[8], now, name)
    local number, length = string.match(name, '@(%d+)/(%d+)$')
    if length and length ~= '0' then
        redis.call('ZADD', KEYS[9], (number + 1) * length * 1000 + DAY, name)
    end
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[9], '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('HDEL', KEYS[7], name)
    redis.call('ZREM', KEYS[8], name)
    redis.call('ZREM', KEYS[9], name)
end

for name, total in pairs(batch.known) do
    if total > tonumber(redis.call('HGET', KEYS[7], name) or 0) then
        set_spent(name, total)
    end
end
local acknowledged = tonumber(redis.call('GET', KEYS[10]) or 0)
if batch.sequence > acknowledged then
    acknowledged = batch.sequence
    for name, amount in pairs(batch.spent) do
        set_spent(name, tonumber(redis.call('HGET', KEYS[7], name) or 0) + amount)
    end
    for _, each_ in ipairs(batch.cooldowns) do
        local known = redis.call('HGET', KEYS[4], each_[1])
        if not known or tonumber(string.match(known, ' (%d+) ')) < now + each_[2] then
            redis.call('HSET', KEYS[4], each_[1], string.format('%d %d %d', now, now + each_[2], each_[3]))
            redis.call('PEXPIRE', KEYS[4], DAY)
        end
    end
    if next(batch.spent) then
        redis.call('SET', KEYS[10], acknowledged, 'PX', kept)
    end
end

-- Trials: one replica's at a time.

local held = {}
for backend, text in each(KEYS[5]) do
    local by, till = string.match(text, '^(.*) (%d+)$')
    till = tonumber(till)
    local mine = by == me
    if till <= now or till > now + math.max(trial_lease, trial_offer) or (mine and batch.trials[backend] == nil) then
        redis.call('HDEL', KEYS[5], backend)
    elseif not mine then
        held[backend] = till - now
    elseif not batch.trials[backend] then
        batch.trials[backend] = nil -- it has been offered already, and has not begun
    end
end
for backend, under_way in pairs(batch.trials) do
    if not held[backend] then
        redis.call('HSET', KEYS[5], backend, me .. ' ' .. now + (under_way and trial_lease or trial_offer))
        redis.call('PEXPIRE', KEYS[5], DAY)
    end
end

-- Health.

local cooldowns = {}
for place, text in each(KEYS[4]) do
    local at, till, refused = string.match(text, '^(%d+) (%d+) (%d)$')
    if tonumber(till) <= now or tonumber(at) > now then
        redis.call('HDEL', KEYS[4], place)
    else
        cooldowns[#cooldowns + 1] = { place, tonumber(till) - now, tonumber(refused) }
    end
end

local recovered_at, recovered = {}, {}
for backend, text in each(KEYS[6]) do
    local at, by = string.match(text, '^(%d+) (.*)$')
    at = tonumber(at)
    if at > now or now - at >= minute then
        redis.call('HDEL', KEYS[6], backend)
    else
        recovered_at[backend] = at
        if by ~= me and at >= since then
            recovered[backend] = now - at
        end
    end
end

local seen, till, openings = {}, {}, {}
siblings[#siblings + 1] = { at = now, failing = cjson.decode(ARGV[3]) }
for _, record in ipairs(siblings) do
    if alive(record) then
        for backend, failing in pairs(record.failing) do
            if record.at - failing[2] > (recovered_at[backend] or 0) then
                seen[backend] = (seen[backend] or 0) + 1
                till[backend] = math.max(till[backend] or 0, record.at + failing[1])
            end
        end
    end
end
for backend, count in pairs(seen) do
    if count > 1 and till[backend] > now then
        openings[backend] = till[backend] - now
    end
end

-- What has been spent in all, where that has changed.

local spent = {}
local changed = redis.call('ZRANGEBYSCORE', KEYS[8], since, '+inf')
for _, name in ipairs(changed) do
    spent[name] = redis.call('HGET', KEYS[7], name) or '0'
end

return cjson.encode({
    acknowledged = acknowledged, newcomer = newcomer, live = live, uses = used, cooldowns = cooldowns,
    openings = openings, recovered = recovered, held = held, samples = samples, spent = spent,
})
