using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>A case of <see cref="OperatorConformance.RotaryAppend"/>.</summary>
/// <param name="HeadDim">Elements of a head.</param>
/// <param name="RotaryDim">How many are rotated; 0 for none.</param>
/// <param name="HasNorm">Whether heads are normalised.</param>
/// <param name="Type">Of the projection and the queries.</param>
/// <param name="CacheType">Of the cache.</param>
/// <param name="Seed">Of the numbers.</param>
/// <param name="PrefixType">Of a page for prefixes in the cache; null like the others.</param>
public sealed record RotaryCase(int HeadDim, int RotaryDim, bool HasNorm, ElementType Type, ElementType CacheType, int Seed, ElementType? PrefixType = null);
