namespace Hydragen.Core;

/// <summary>The memory of a backend, as it is when asked for, in bytes.</summary>
/// <param name="AvailableBytes">What weights and activations may still take.</param>
/// <param name="MaxCacheBytes">More than this a cache cannot get; <see cref="long.MaxValue"/> when only use will show.</param>
/// <param name="DefaultCacheBytes">What a cache should take when nobody says how much.</param>
public sealed record BackendMemory(long AvailableBytes, long MaxCacheBytes, long DefaultCacheBytes);
