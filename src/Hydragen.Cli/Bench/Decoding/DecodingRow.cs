using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What was measured at a point with one type of keys and values.</summary>
internal sealed record DecodingRow(DecodingPoint Point, ElementType Type, AttentionMeasurement Measurement);
