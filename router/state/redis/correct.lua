-- Corrects what was booked for a request that took more or less than was expected.
--
-- KEYS: strict:SUBJECT
-- ARGV: the second it was booked in, requests, tokens (what to add)

for kind, amount in pairs({ r = ARGV[2], t = ARGV[3] }) do
    if amount ~= '0' and redis.call('HEXISTS', KEYS[1], kind .. ARGV[1]) == 1 then
        redis.call('HINCRBY', KEYS[1], kind .. ARGV[1], amount)
    end
end
return 1
