namespace Hydragen;

/// <summary>Time limits and the secret of a <see cref="SocketRankGroup"/>; the same for all ranks. Immutable.</summary>
public sealed record RankGroupOptions
{
    /// <summary>How long ranks wait for one another when they join.</summary>
    public TimeSpan JoinTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long one connection may take to say who it is.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How often a rank shows that it lives.</summary>
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A rank that is silent for so long is lost.</summary>
    public TimeSpan SilenceTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a rank that leaves waits for the others to leave as well.</summary>
    public TimeSpan LeaveTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Who does not know it cannot join. Without one, whoever reaches the port can. What ranks exchange is not encrypted either way.</summary>
    public string Secret { get; init; } = "";
}
