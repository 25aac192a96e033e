namespace Hydragen.Engine;

/// <summary>What rank 0 lets the other ranks do with it.</summary>
internal enum EngineCallKind : byte
{
    /// <summary>Nothing more: the engine ends.</summary>
    End = 1,

    /// <summary>Compute a prefix and keep it.</summary>
    CreatePrefix = 2,

    /// <summary>Free a prefix.</summary>
    ReleasePrefix = 3,

    /// <summary>Complete flat prompts.</summary>
    Generate = 4,

    /// <summary>Complete the leaves of trees.</summary>
    GenerateTree = 5,

    /// <summary>Score sequences.</summary>
    Score = 6,
}
