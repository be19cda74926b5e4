//! What Redis does at once, where two commands would let another hub in
//! between.

use std::sync::LazyLock;

use redis::Script;

/// Sets all keys, if all are what they were. `KEYS`; `ARGV`: of each what it
/// was, then what it will be, then for how many milliseconds; nothing stands for
/// no value. 1 where it did.
pub static SWAP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local n = #KEYS
         for i, key in ipairs(KEYS) do
           if (redis.call('GET', key) or '') ~= ARGV[i] then return 0 end
         end
         for i, key in ipairs(KEYS) do
           if ARGV[n + i] == '' then
             redis.call('DEL', key)
           else
             redis.call('SET', key, ARGV[n + i], 'PX', ARGV[2 * n + i])
           end
         end
         return 1",
    )
});

/// Takes one request from each allowance, or from none. An allowance is when it
/// is whole again, in microseconds. `KEYS`; `ARGV`: of each what a request costs
/// and what may be spent ahead, in microseconds. How long to wait.
pub static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000000 + time[2]
         local after = {}
         for i, key in ipairs(KEYS) do
           local whole_at = math.max(tonumber(redis.call('GET', key) or '') or now, now)
           local wait = whole_at - now - tonumber(ARGV[2 * i])
           if wait > 0 then return wait end
           after[i] = whole_at + tonumber(ARGV[2 * i - 1])
         end
         for i, key in ipairs(KEYS) do
           local life = math.ceil((after[i] - now) / 1000) + 1
           redis.call('SET', key, string.format('%.0f', after[i]), 'PX', life)
         end
         return 0",
    )
});

/// Gives one request back. `KEYS[1]`; `ARGV[1]`: what it cost, in microseconds.
pub static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local whole_at = redis.call('GET', KEYS[1])
         if whole_at and tonumber(whole_at) then
           redis.call('SET', KEYS[1], string.format('%.0f', whole_at - ARGV[1]), 'KEEPTTL')
         end
         return 0",
    )
});
