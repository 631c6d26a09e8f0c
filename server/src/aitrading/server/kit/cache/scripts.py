"""Scripts for what takes more than one command; each declares every key it touches.

They use commands that Redis 7, Valkey and Dragonfly document alike, and no others.
"""

from typing import Final

SPEND: Final = """
local total = tonumber(redis.call('GET', KEYS[1]) or '0')
if total + tonumber(ARGV[1]) > tonumber(ARGV[2]) then
  return {0, total, math.max(0, redis.call('PTTL', KEYS[1]))}
end
total = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  left = tonumber(ARGV[3])
end
return {1, total, left}
"""
GRANT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead = math.max(0, tonumber(redis.call('GET', KEYS[1]) or '0') - now)
local room = math.floor((burst * interval - ahead) / interval)
local number = math.max(0, math.min(tonumber(ARGV[3]), room))
if number == 0 then return {0, ahead - (burst - 1) * interval} end
ahead = ahead + number * interval
local paid = string.format('%.0f', now + ahead)
redis.call('SET', KEYS[1], paid, 'PX', math.ceil(ahead / 1000))
return {number, 0}
"""
ACQUIRE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local fence = tonumber(redis.call('GET', KEYS[2]) or '0') + 1
if fence < tonumber(ARGV[3]) then fence = tonumber(ARGV[3]) end
redis.call('SET', KEYS[2], string.format('%.0f', fence))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return fence
"""
RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
RELEASE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
PUT_FENCED: Final = """
local highest = tonumber(redis.call('GET', KEYS[2]) or '0')
if highest > tonumber(ARGV[4]) then return 0 end
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
