namespace Hydragen.Cli.Ranks;

/// <summary>This process computed along with rank 0 until that was done; there is nothing more to do.</summary>
internal sealed class RankServedException : Exception;
